"""Produce (API key 0), versions 3-11: append batches to partitions.

Version 3 brings transactions and the current batch format, 5 the log start offset, 7 allows zstd
(KIP-110), 8 tells which records were at fault (KIP-467), 9 is flexible, 10 names the new leader
(KIP-951), 11 marks clients that know the abortable error (KIP-890).
"""

from ..schema import declare

REQUEST = declare(
    "ProduceRequest",
    0,
    versions="3-11",
    flexible="9+",
    text="""
transactional_id string 3+ ? = null
acks int16
timeout_ms int32
topic_data []
  name string
  partition_data []
    index int32
    records records ?
""",
)

RESPONSE = declare(
    "ProduceResponse",
    0,
    versions="3-11",
    flexible="9+",
    text="""
responses []
  name string
  partition_responses []
    index int32
    error_code int16
    base_offset int64
    log_append_time_ms int64 2+ = -1
    log_start_offset int64 5+ = -1
    record_errors [] 8+
      batch_index int32
      batch_index_error_message string ? = null
    error_message string 8+ ? = null
    current_leader {} 10+ #0
      leader_id int32 = -1
      leader_epoch int32 = -1
throttle_time_ms int32 1+
node_endpoints [] 10+ #0
  node_id int32
  host string
  port int32
  rack string ? = null
""",
)

MESSAGES = (REQUEST, RESPONSE)
