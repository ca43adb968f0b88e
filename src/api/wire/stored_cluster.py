"""The cluster's own records, as Kafka keeps them in `__cluster_metadata` and its snapshots.

    VALUE  unsigned varint frame version (1), unsigned varint api_key, unsigned varint version, body

The api_key of a record numbers these records only; it is no key of the protocol.  They are read
when a folder written by Kafka is taken over; what headrace itself replicates is in `raft`.
"""

from .schema import declare

MESSAGES = (
    declare(
        "RegisterBrokerRecord",
        0,
        versions="0-3",
        flexible="0+",
        text="""
broker_id int32
is_migrating_zk_broker bool 2+
incarnation_id uuid
broker_epoch int64
end_points []
  name string
  host string
  port uint16
  security_protocol int16
features []
  name string
  min_supported_version int16
  max_supported_version int16
rack string ?
fenced bool = true
in_controlled_shutdown bool 1+
log_dirs []uuid 3+ #0
""",
    ),
    declare(
        "UnregisterBrokerRecord",
        1,
        versions="0",
        flexible="0+",
        text="""
broker_id int32
broker_epoch int64
""",
    ),
    declare(
        "TopicRecord",
        2,
        versions="0",
        flexible="0+",
        text="""
name string
topic_id uuid
""",
    ),
    declare(
        "PartitionRecord",
        3,
        versions="0-2",
        flexible="0+",
        text="""
partition_id int32 = -1
topic_id uuid
replicas []int32
isr []int32
removing_replicas []int32
adding_replicas []int32
leader int32 = -1
leader_recovery_state int8 #0
leader_epoch int32 = -1
partition_epoch int32 = -1
directories []uuid 1+
eligible_leader_replicas []int32 2+ ? #1 = null
last_known_elr []int32 2+ ? #2 = null
""",
    ),
    declare(
        "ConfigRecord",
        4,
        versions="0",
        flexible="0+",
        text="""
resource_type int8
resource_name string
name string
value string ?
""",
    ),
    declare(
        "PartitionChangeRecord",
        5,
        versions="0-2",
        flexible="0+",
        text="""
partition_id int32 = -1
topic_id uuid
isr []int32 ? #0 = null
leader int32 #1 = -2
replicas []int32 ? #2 = null
removing_replicas []int32 ? #3 = null
adding_replicas []int32 ? #4 = null
leader_recovery_state int8 #5 = -1
eligible_leader_replicas []int32 2+ ? #6 = null
last_known_elr []int32 2+ ? #7 = null
directories []uuid 1+ ? #8 = null
""",
    ),
    declare(
        "RemoveTopicRecord",
        9,
        versions="0",
        flexible="0+",
        text="""
topic_id uuid
""",
    ),
    declare(
        "FeatureLevelRecord",
        12,
        versions="0",
        flexible="0+",
        text="""
name string
feature_level int16
""",
    ),
    declare(
        "ProducerIdsRecord",
        15,
        versions="0",
        flexible="0+",
        text="""
broker_id int32
broker_epoch int64 = -1
next_producer_id int64
""",
    ),
    declare(
        "BrokerRegistrationChangeRecord",
        17,
        versions="0-2",
        flexible="0+",
        text="""
broker_id int32
broker_epoch int64
fenced int8 #0
in_controlled_shutdown int8 1+ #1
log_dirs []uuid 2+ #2
""",
    ),
    declare("NoOpRecord", 20, versions="0", flexible="0+", text=""),
    declare(
        "BeginTransactionRecord",
        23,
        versions="0",
        flexible="0+",
        text="""
name string ? #0 = null
""",
    ),
    declare("EndTransactionRecord", 24, versions="0", flexible="0+", text=""),
    declare(
        "AbortTransactionRecord",
        25,
        versions="0",
        flexible="0+",
        text="""
reason string ? #0 = null
""",
    ),
)

# How a record's api_key is called in `decode_stored`.
KINDS = {message.api_key: message.name for message in MESSAGES}
