"""What the group coordinator keeps in `__consumer_offsets`, and what members tell each other.

    RECORD           KEY                                    VALUE
    committed offset int16 version (0 or 1), OffsetCommitKey int16 version, OffsetCommitValue
    group            int16 version (2), GroupMetadataKey     int16 version, GroupMetadataValue

A record without a value is a tombstone.  The subscriptions and assignments inside JoinGroup and
SyncGroup are opaque to the broker; clients of protocol type `consumer` write an int16 version and
ConsumerProtocolSubscription or ConsumerProtocolAssignment.
"""

from .schema import declare_stored

OFFSET_COMMIT_KEY = declare_stored(
    "OffsetCommitKey",
    versions="0-1",
    flexible="none",
    text="""
group string
topic string
partition int32
""",
)

OFFSET_COMMIT_VALUE = declare_stored(
    "OffsetCommitValue",
    versions="0-4",
    flexible="4+",
    text="""
offset int64
leader_epoch int32 3+ = -1
metadata string
commit_timestamp int64
expire_timestamp int64 1 = -1
topic_id uuid 4+ #0
""",
)

GROUP_METADATA_KEY = declare_stored(
    "GroupMetadataKey",
    versions="2",
    flexible="none",
    text="""
group string
""",
)

GROUP_METADATA_VALUE = declare_stored(
    "GroupMetadataValue",
    versions="0-4",
    flexible="4+",
    text="""
protocol_type string
generation int32
protocol string ?
leader string ?
current_state_timestamp int64 2+ = -1
members []
  member_id string
  group_instance_id string 3+ ? = null
  client_id string
  client_host string
  rebalance_timeout int32 1+
  session_timeout int32
  subscription bytes
  assignment bytes
""",
)

CONSUMER_PROTOCOL_SUBSCRIPTION = declare_stored(
    "ConsumerProtocolSubscription",
    versions="0-3",
    flexible="none",
    text="""
topics []string
user_data bytes ? = null
owned_partitions [] 1+
  topic string
  partitions []int32
generation_id int32 2+ = -1
rack_id string 3+ ? = null
""",
)

CONSUMER_PROTOCOL_ASSIGNMENT = declare_stored(
    "ConsumerProtocolAssignment",
    versions="0-3",
    flexible="none",
    text="""
assigned_partitions []
  topic string
  partitions []int32
user_data bytes ? = null
""",
)

MESSAGES = (
    OFFSET_COMMIT_KEY,
    OFFSET_COMMIT_VALUE,
    GROUP_METADATA_KEY,
    GROUP_METADATA_VALUE,
    CONSUMER_PROTOCOL_SUBSCRIPTION,
    CONSUMER_PROTOCOL_ASSIGNMENT,
)
