"""Who leads, who holds and who votes: what an administrator asks of a cluster of several brokers.

AlterReplicaLogDirs (34) 1-2: replicas to another folder of log.dirs (KIP-113); 2 is flexible.
ElectLeaders (43) 0-2: 1 names the kind of election (KIP-460), 2 is flexible.
AlterPartitionReassignments (45) 0-1: replicas to other brokers (KIP-455); 1 may forbid another
number of replicas (KIP-860).
DescribeQuorum (55) 0-2: 1 tells when a voter last fetched (KIP-836), 2 where it is (KIP-853).
UnregisterBroker (64) 0: a broker that does not come back (KIP-500).
"""

from ..schema import declare

ALTER_REPLICA_LOG_DIRS_REQUEST = declare(
    "AlterReplicaLogDirsRequest",
    34,
    versions="1-2",
    flexible="2+",
    text="""
dirs []
  path string
  topics []
    name string
    partitions []int32
""",
)

ALTER_REPLICA_LOG_DIRS_RESPONSE = declare(
    "AlterReplicaLogDirsResponse",
    34,
    versions="1-2",
    flexible="2+",
    text="""
throttle_time_ms int32
results []
  topic_name string
  partitions []
    partition_index int32
    error_code int16
""",
)

ELECT_LEADERS_REQUEST = declare(
    "ElectLeadersRequest",
    43,
    versions="0-2",
    flexible="2+",
    text="""
election_type int8 1+
topic_partitions [] ?
  topic string
  partitions []int32
timeout_ms int32 = 60000
""",
)

ELECT_LEADERS_RESPONSE = declare(
    "ElectLeadersResponse",
    43,
    versions="0-2",
    flexible="2+",
    text="""
throttle_time_ms int32
error_code int16 1+
replica_election_results []
  topic string
  partition_result []
    partition_id int32
    error_code int16
    error_message string ?
""",
)

ALTER_PARTITION_REASSIGNMENTS_REQUEST = declare(
    "AlterPartitionReassignmentsRequest",
    45,
    versions="0-1",
    flexible="0+",
    text="""
timeout_ms int32 = 60000
allow_replication_factor_change bool 1+ = true
topics []
  name string
  partitions []
    partition_index int32
    replicas []int32 ? = null
""",
)

ALTER_PARTITION_REASSIGNMENTS_RESPONSE = declare(
    "AlterPartitionReassignmentsResponse",
    45,
    versions="0-1",
    flexible="0+",
    text="""
throttle_time_ms int32
allow_replication_factor_change bool 1+ = true
error_code int16
error_message string ?
responses []
  name string
  partitions []
    partition_index int32
    error_code int16
    error_message string ?
""",
)

DESCRIBE_QUORUM_REQUEST = declare(
    "DescribeQuorumRequest",
    55,
    versions="0-2",
    flexible="0+",
    text="""
topics []
  topic_name string
  partitions []
    partition_index int32
""",
)

_REPLICA_STATE = """
      replica_id int32
      replica_directory_id uuid 2+
      log_end_offset int64
      last_fetch_timestamp int64 1+ = -1
      last_caught_up_timestamp int64 1+ = -1
"""

DESCRIBE_QUORUM_RESPONSE = declare(
    "DescribeQuorumResponse",
    55,
    versions="0-2",
    flexible="0+",
    text=f"""
error_code int16
error_message string 2+ ?
topics []
  topic_name string
  partitions []
    partition_index int32
    error_code int16
    error_message string 2+ ?
    leader_id int32
    leader_epoch int32
    high_watermark int64
    current_voters []{_REPLICA_STATE}
    observers []{_REPLICA_STATE}
nodes [] 2+
  node_id int32
  listeners []
    name string
    host string
    port uint16
""",
)

UNREGISTER_BROKER_REQUEST = declare(
    "UnregisterBrokerRequest", 64, versions="0", flexible="0+", text="broker_id int32"
)

UNREGISTER_BROKER_RESPONSE = declare(
    "UnregisterBrokerResponse",
    64,
    versions="0",
    flexible="0+",
    text="""
throttle_time_ms int32
error_code int16
error_message string ?
""",
)

MESSAGES = (
    ALTER_REPLICA_LOG_DIRS_REQUEST,
    ALTER_REPLICA_LOG_DIRS_RESPONSE,
    ELECT_LEADERS_REQUEST,
    ELECT_LEADERS_RESPONSE,
    ALTER_PARTITION_REASSIGNMENTS_REQUEST,
    ALTER_PARTITION_REASSIGNMENTS_RESPONSE,
    DESCRIBE_QUORUM_REQUEST,
    DESCRIBE_QUORUM_RESPONSE,
    UNREGISTER_BROKER_REQUEST,
    UNREGISTER_BROKER_RESPONSE,
)
