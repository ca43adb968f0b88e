"""DescribeLogDirs (API key 35), versions 1-5: which logs lie in which folder, and how large.

Version 2 is flexible, 3 has an error of its own, 4 tells the size of the volume (KIP-827),
5 tells which folders take no new logs (KIP-1066).
"""

from ..schema import declare

REQUEST = declare(
    "DescribeLogDirsRequest",
    35,
    versions="1-5",
    flexible="2+",
    text="""
topics [] ?
  topic string
  partitions []int32
""",
)

RESPONSE = declare(
    "DescribeLogDirsResponse",
    35,
    versions="1-5",
    flexible="2+",
    text="""
throttle_time_ms int32
error_code int16 3+
results []
  error_code int16
  log_dir string
  topics []
    name string
    partitions []
      partition_index int32
      partition_size int64
      offset_lag int64
      is_future_key bool
  total_bytes int64 4+ = -1
  usable_bytes int64 4+ = -1
  is_cordoned bool 5+
""",
)

MESSAGES = (REQUEST, RESPONSE)
