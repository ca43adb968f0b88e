"""ApiVersions (API key 18), versions 0-4: which APIs and versions the broker speaks.

Version 3 is flexible, names the client's software (KIP-511) and carries features (KIP-584);
version 4 lets a feature's minimum be 0 (KIP-1022).  The response header never has a tag buffer.
"""

from ..schema import declare

REQUEST = declare(
    "ApiVersionsRequest",
    18,
    versions="0-4",
    flexible="3+",
    text="""
client_software_name string 3+
client_software_version string 3+
""",
)

RESPONSE = declare(
    "ApiVersionsResponse",
    18,
    versions="0-4",
    flexible="3+",
    text="""
error_code int16
api_keys []
  api_key int16
  min_version int16
  max_version int16
throttle_time_ms int32 1+
supported_features [] 3+ #0
  name string
  min_version int16
  max_version int16
finalized_features_epoch int64 3+ #1 = -1
finalized_features [] 3+ #2
  name string
  max_version_level int16
  min_version_level int16
zk_migration_ready bool 3+ #3
""",
)

MESSAGES = (REQUEST, RESPONSE)
