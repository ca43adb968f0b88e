"""Metadata (API key 3), versions 0-13: brokers, topics and who leads each partition.

Version 4 asks whether to create unknown topics (KIP-204), 5 lists offline replicas (KIP-112),
7 the leader epoch (KIP-320), 8 authorized operations (KIP-430), 9 is flexible, 10 adds topic ids
(KIP-516), 11 drops the cluster's operations (KIP-700), 12 asks by topic id,
13 has an error of its own.
"""

from ..schema import declare

REQUEST = declare(
    "MetadataRequest",
    3,
    versions="0-13",
    flexible="9+",
    text="""
topics [] ?1+
  topic_id uuid 10+
  name string ?10+
allow_auto_topic_creation bool 4+ = true
include_cluster_authorized_operations bool 8-10
include_topic_authorized_operations bool 8+
""",
)

RESPONSE = declare(
    "MetadataResponse",
    3,
    versions="0-13",
    flexible="9+",
    text="""
throttle_time_ms int32 3+
brokers []
  node_id int32
  host string
  port int32
  rack string 1+ ? = null
cluster_id string 2+ ? = null
controller_id int32 1+ = -1
topics []
  error_code int16
  name string ?12+
  topic_id uuid 10+
  is_internal bool 1+
  partitions []
    error_code int16
    partition_index int32
    leader_id int32
    leader_epoch int32 7+ = -1
    replica_nodes []int32
    isr_nodes []int32
    offline_replicas []int32 5+
  topic_authorized_operations int32 8+ = -2147483648
cluster_authorized_operations int32 8-10 = -2147483648
error_code int16 13+
""",
)

MESSAGES = (REQUEST, RESPONSE)
