"""DeleteRecords (API key 21), versions 0-2: drop the records below an offset (KIP-107).

Version 2 is flexible.
"""

from ..schema import declare

REQUEST = declare(
    "DeleteRecordsRequest",
    21,
    versions="0-2",
    flexible="2+",
    text="""
topics []
  name string
  partitions []
    partition_index int32
    offset int64
timeout_ms int32
""",
)

RESPONSE = declare(
    "DeleteRecordsResponse",
    21,
    versions="0-2",
    flexible="2+",
    text="""
throttle_time_ms int32
topics []
  name string
  partitions []
    partition_index int32
    low_watermark int64
    error_code int16
""",
)

MESSAGES = (REQUEST, RESPONSE)
