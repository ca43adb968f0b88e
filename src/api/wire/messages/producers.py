"""Idempotent producers: who they are, and what a partition knows of them.

InitProducerId (22) 0-5: 2 is flexible, 3 may bump the epoch of a producer (KIP-360), 4 and 5 allow
new error codes (KIP-588, KIP-890).
DescribeProducers (61) 0 (KIP-664).
"""

from ..schema import declare

INIT_PRODUCER_ID_REQUEST = declare(
    "InitProducerIdRequest",
    22,
    versions="0-5",
    flexible="2+",
    text="""
transactional_id string ?
transaction_timeout_ms int32
producer_id int64 3+ = -1
producer_epoch int16 3+ = -1
""",
)

INIT_PRODUCER_ID_RESPONSE = declare(
    "InitProducerIdResponse",
    22,
    versions="0-5",
    flexible="2+",
    text="""
throttle_time_ms int32
error_code int16
producer_id int64 = -1
producer_epoch int16
""",
)

DESCRIBE_PRODUCERS_REQUEST = declare(
    "DescribeProducersRequest",
    61,
    versions="0",
    flexible="0+",
    text="""
topics []
  name string
  partition_indexes []int32
""",
)

DESCRIBE_PRODUCERS_RESPONSE = declare(
    "DescribeProducersResponse",
    61,
    versions="0",
    flexible="0+",
    text="""
throttle_time_ms int32
topics []
  name string
  partitions []
    partition_index int32
    error_code int16
    error_message string ? = null
    active_producers []
      producer_id int64
      producer_epoch int32
      last_sequence int32 = -1
      last_timestamp int64 = -1
      coordinator_epoch int32
      current_txn_start_offset int64 = -1
""",
)

MESSAGES = (
    INIT_PRODUCER_ID_REQUEST,
    INIT_PRODUCER_ID_RESPONSE,
    DESCRIBE_PRODUCERS_REQUEST,
    DESCRIBE_PRODUCERS_RESPONSE,
)
