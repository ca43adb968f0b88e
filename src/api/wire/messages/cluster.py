"""The cluster and where partitions stand.

DescribeCluster (60) 0-2: 1 tells brokers from controllers (KIP-919), 2 may list fenced brokers
(KIP-1073).
DescribeTopicPartitions (75) 0: topics page by page, with eligible leaders (KIP-966).
ListPartitionReassignments (46) 0: replicas on the move (KIP-455).
"""

from ..schema import declare

DESCRIBE_CLUSTER_REQUEST = declare(
    "DescribeClusterRequest",
    60,
    versions="0-2",
    flexible="0+",
    text="""
include_cluster_authorized_operations bool
endpoint_type int8 1+ = 1
include_fenced_brokers bool 2+
""",
)

DESCRIBE_CLUSTER_RESPONSE = declare(
    "DescribeClusterResponse",
    60,
    versions="0-2",
    flexible="0+",
    text="""
throttle_time_ms int32
error_code int16
error_message string ? = null
endpoint_type int8 1+ = 1
cluster_id string
controller_id int32 = -1
brokers []
  broker_id int32
  host string
  port int32
  rack string ? = null
  is_fenced bool 2+
cluster_authorized_operations int32 = -2147483648
""",
)

DESCRIBE_TOPIC_PARTITIONS_REQUEST = declare(
    "DescribeTopicPartitionsRequest",
    75,
    versions="0",
    flexible="0+",
    text="""
topics []
  name string
response_partition_limit int32 = 2000
cursor {} ? = null
  topic_name string
  partition_index int32
""",
)

DESCRIBE_TOPIC_PARTITIONS_RESPONSE = declare(
    "DescribeTopicPartitionsResponse",
    75,
    versions="0",
    flexible="0+",
    text="""
throttle_time_ms int32
topics []
  error_code int16
  name string ?
  topic_id uuid
  is_internal bool
  partitions []
    error_code int16
    partition_index int32
    leader_id int32
    leader_epoch int32 = -1
    replica_nodes []int32
    isr_nodes []int32
    eligible_leader_replicas []int32 ? = null
    last_known_elr []int32 ? = null
    offline_replicas []int32
  topic_authorized_operations int32 = -2147483648
next_cursor {} ? = null
  topic_name string
  partition_index int32
""",
)

LIST_PARTITION_REASSIGNMENTS_REQUEST = declare(
    "ListPartitionReassignmentsRequest",
    46,
    versions="0",
    flexible="0+",
    text="""
timeout_ms int32 = 60000
topics [] ? = null
  name string
  partition_indexes []int32
""",
)

LIST_PARTITION_REASSIGNMENTS_RESPONSE = declare(
    "ListPartitionReassignmentsResponse",
    46,
    versions="0",
    flexible="0+",
    text="""
throttle_time_ms int32
error_code int16
error_message string ?
topics []
  name string
  partitions []
    partition_index int32
    replicas []int32
    adding_replicas []int32
    removing_replicas []int32
""",
)

MESSAGES = (
    DESCRIBE_CLUSTER_REQUEST,
    DESCRIBE_CLUSTER_RESPONSE,
    DESCRIBE_TOPIC_PARTITIONS_REQUEST,
    DESCRIBE_TOPIC_PARTITIONS_RESPONSE,
    LIST_PARTITION_REASSIGNMENTS_REQUEST,
    LIST_PARTITION_REASSIGNMENTS_RESPONSE,
)
