"""Topics: create, delete, add partitions.

CreateTopics (19) 2-7: 4 lets -1 mean the broker's defaults (KIP-464), 5 is flexible and tells the
topic's settings (KIP-525), 6 may answer that a quota is exceeded (KIP-599), 7 tells the topic id
(KIP-516).
DeleteTopics (20) 1-6: 4 is flexible, 5 explains errors, 6 deletes by topic id (KIP-516).
CreatePartitions (37) 0-3: 2 is flexible, 3 may answer that a quota is exceeded (KIP-599).
"""

from ..schema import declare

CREATE_TOPICS_REQUEST = declare(
    "CreateTopicsRequest",
    19,
    versions="2-7",
    flexible="5+",
    text="""
topics []
  name string
  num_partitions int32
  replication_factor int16
  assignments []
    partition_index int32
    broker_ids []int32
  configs []
    name string
    value string ?
timeout_ms int32 = 60000
validate_only bool
""",
)

CREATE_TOPICS_RESPONSE = declare(
    "CreateTopicsResponse",
    19,
    versions="2-7",
    flexible="5+",
    text="""
throttle_time_ms int32
topics []
  name string
  topic_id uuid 7+
  error_code int16
  error_message string ?
  topic_config_error_code int16 5+ #0
  num_partitions int32 5+ = -1
  replication_factor int16 5+ = -1
  configs [] 5+ ?
    name string
    value string ?
    read_only bool
    config_source int8 = -1
    is_sensitive bool
""",
)

DELETE_TOPICS_REQUEST = declare(
    "DeleteTopicsRequest",
    20,
    versions="1-6",
    flexible="4+",
    text="""
topics [] 6+
  name string ? = null
  topic_id uuid
topic_names []string 0-5
timeout_ms int32
""",
)

DELETE_TOPICS_RESPONSE = declare(
    "DeleteTopicsResponse",
    20,
    versions="1-6",
    flexible="4+",
    text="""
throttle_time_ms int32
responses []
  name string ?6+
  topic_id uuid 6+
  error_code int16
  error_message string 5+ ? = null
""",
)

CREATE_PARTITIONS_REQUEST = declare(
    "CreatePartitionsRequest",
    37,
    versions="0-3",
    flexible="2+",
    text="""
topics []
  name string
  count int32
  assignments [] ?
    broker_ids []int32
timeout_ms int32
validate_only bool
""",
)

CREATE_PARTITIONS_RESPONSE = declare(
    "CreatePartitionsResponse",
    37,
    versions="0-3",
    flexible="2+",
    text="""
throttle_time_ms int32
results []
  name string
  error_code int16
  error_message string ? = null
""",
)

MESSAGES = (
    CREATE_TOPICS_REQUEST,
    CREATE_TOPICS_RESPONSE,
    DELETE_TOPICS_REQUEST,
    DELETE_TOPICS_RESPONSE,
    CREATE_PARTITIONS_REQUEST,
    CREATE_PARTITIONS_RESPONSE,
)
