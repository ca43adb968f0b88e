"""ListOffsets (API key 2), versions 1-11: the offset at a time, or at either end of the log.

Version 2 adds the isolation level, 4 the leader epoch (KIP-320), 6 is flexible, 7 allows -3 as the
time (the newest record, KIP-734), 8 -4 (KIP-405), 9 -5 (KIP-1005), 10 a timeout (KIP-1075),
11 -6 (KIP-1023).
"""

from ..schema import declare

REQUEST = declare(
    "ListOffsetsRequest",
    2,
    versions="1-11",
    flexible="6+",
    text="""
replica_id int32 = -1
isolation_level int8 2+
topics []
  name string
  partitions []
    partition_index int32
    current_leader_epoch int32 4+ = -1
    timestamp int64
timeout_ms int32 10+
""",
)

RESPONSE = declare(
    "ListOffsetsResponse",
    2,
    versions="1-11",
    flexible="6+",
    text="""
throttle_time_ms int32 2+
topics []
  name string
  partitions []
    partition_index int32
    error_code int16
    timestamp int64 1+ = -1
    offset int64 1+ = -1
    leader_epoch int32 4+ = -1
""",
)

MESSAGES = (REQUEST, RESPONSE)
