"""Settings of topics and brokers: read, replace, change one by one, list what has any.

DescribeConfigs (32) 1-4: 1 tells the source and synonyms (KIP-226), 3 type and documentation
(KIP-569), 4 is flexible.
AlterConfigs (33) 0-2: replaces all settings of a resource; 2 is flexible.
IncrementalAlterConfigs (44) 0-1: set, delete, append, subtract (KIP-339); 1 is flexible.
ListConfigResources (74) 0-1: 1 lists other types than client metrics (KIP-1142).
"""

from ..schema import declare

DESCRIBE_CONFIGS_REQUEST = declare(
    "DescribeConfigsRequest",
    32,
    versions="1-4",
    flexible="4+",
    text="""
resources []
  resource_type int8
  resource_name string
  configuration_keys []string ?
include_synonyms bool
include_documentation bool 3+
""",
)

DESCRIBE_CONFIGS_RESPONSE = declare(
    "DescribeConfigsResponse",
    32,
    versions="1-4",
    flexible="4+",
    text="""
throttle_time_ms int32
results []
  error_code int16
  error_message string ?
  resource_type int8
  resource_name string
  configs []
    name string
    value string ?
    read_only bool
    config_source int8 = -1
    is_sensitive bool
    synonyms []
      name string
      value string ?
      source int8
    config_type int8 3+
    documentation string 3+ ?
""",
)

ALTER_CONFIGS_REQUEST = declare(
    "AlterConfigsRequest",
    33,
    versions="0-2",
    flexible="2+",
    text="""
resources []
  resource_type int8
  resource_name string
  configs []
    name string
    value string ?
validate_only bool
""",
)

ALTER_CONFIGS_RESPONSE = declare(
    "AlterConfigsResponse",
    33,
    versions="0-2",
    flexible="2+",
    text="""
throttle_time_ms int32
responses []
  error_code int16
  error_message string ?
  resource_type int8
  resource_name string
""",
)

INCREMENTAL_ALTER_CONFIGS_REQUEST = declare(
    "IncrementalAlterConfigsRequest",
    44,
    versions="0-1",
    flexible="1+",
    text="""
resources []
  resource_type int8
  resource_name string
  configs []
    name string
    config_operation int8
    value string ?
validate_only bool
""",
)

INCREMENTAL_ALTER_CONFIGS_RESPONSE = declare(
    "IncrementalAlterConfigsResponse",
    44,
    versions="0-1",
    flexible="1+",
    text="""
throttle_time_ms int32
responses []
  error_code int16
  error_message string ?
  resource_type int8
  resource_name string
""",
)

LIST_CONFIG_RESOURCES_REQUEST = declare(
    "ListConfigResourcesRequest",
    74,
    versions="0-1",
    flexible="0+",
    text="""
resource_types []int8 1+
""",
)

LIST_CONFIG_RESOURCES_RESPONSE = declare(
    "ListConfigResourcesResponse",
    74,
    versions="0-1",
    flexible="0+",
    text="""
throttle_time_ms int32
error_code int16
config_resources []
  resource_name string
  resource_type int8 1+ = 16
""",
)

MESSAGES = (
    DESCRIBE_CONFIGS_REQUEST,
    DESCRIBE_CONFIGS_RESPONSE,
    ALTER_CONFIGS_REQUEST,
    ALTER_CONFIGS_RESPONSE,
    INCREMENTAL_ALTER_CONFIGS_REQUEST,
    INCREMENTAL_ALTER_CONFIGS_RESPONSE,
    LIST_CONFIG_RESOURCES_REQUEST,
    LIST_CONFIG_RESOURCES_RESPONSE,
)
