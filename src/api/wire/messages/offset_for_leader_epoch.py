"""OffsetForLeaderEpoch (API key 23), versions 2-4: where a leader epoch ends (KIP-320).

Version 3 names the replica that asks, 4 is flexible.
"""

from ..schema import declare

REQUEST = declare(
    "OffsetForLeaderEpochRequest",
    23,
    versions="2-4",
    flexible="4+",
    text="""
replica_id int32 3+ = -2
topics []
  topic string
  partitions []
    partition int32
    current_leader_epoch int32 = -1
    leader_epoch int32
""",
)

RESPONSE = declare(
    "OffsetForLeaderEpochResponse",
    23,
    versions="2-4",
    flexible="4+",
    text="""
throttle_time_ms int32
topics []
  topic string
  partitions []
    error_code int16
    partition int32
    leader_epoch int32 = -1
    end_offset int64 = -1
""",
)

MESSAGES = (REQUEST, RESPONSE)
