"""Fetch (API key 1), versions 4-17: read batches from partitions.

Version 4 knows transactions, 5 the log start offset, 7 fetch sessions (KIP-227), 9 the leader epoch
(KIP-320), 10 zstd (KIP-110), 11 racks and preferred replicas (KIP-392), 12 is flexible and tells of
diverging epochs (KIP-595), 13 names topics by id (KIP-516), 15 moves the replica id into a tagged
struct (KIP-903), 16 lists new leaders' endpoints (KIP-951), 17 adds directory ids (KIP-853).
"""

from ..schema import declare

REQUEST = declare(
    "FetchRequest",
    1,
    versions="4-17",
    flexible="12+",
    text="""
cluster_id string 12+ ? #0 = null
replica_id int32 0-14 = -1
replica_state {} 15+ #1
  replica_id int32 = -1
  replica_epoch int64 = -1
max_wait_ms int32
min_bytes int32
max_bytes int32 3+ = 2147483647
isolation_level int8 4+
session_id int32 7+
session_epoch int32 7+ = -1
topics []
  topic string 0-12
  topic_id uuid 13+
  partitions []
    partition int32
    current_leader_epoch int32 9+ = -1
    fetch_offset int64
    last_fetched_epoch int32 12+ = -1
    log_start_offset int64 5+ = -1
    partition_max_bytes int32
    replica_directory_id uuid 17+ #0
forgotten_topics_data [] 7+
  topic string 7-12
  topic_id uuid 13+
  partitions []int32 7+
rack_id string 11+
""",
)

RESPONSE = declare(
    "FetchResponse",
    1,
    versions="4-17",
    flexible="12+",
    text="""
throttle_time_ms int32 1+
error_code int16 7+
session_id int32 7+
responses []
  topic string 0-12
  topic_id uuid 13+
  partitions []
    partition_index int32
    error_code int16
    high_watermark int64
    last_stable_offset int64 4+ = -1
    log_start_offset int64 5+ = -1
    diverging_epoch {} 12+ #0
      epoch int32 = -1
      end_offset int64 = -1
    current_leader {} 12+ #1
      leader_id int32 = -1
      leader_epoch int32 = -1
    snapshot_id {} 12+ #2
      end_offset int64 = -1
      epoch int32 = -1
    aborted_transactions [] 4+ ?
      producer_id int64
      first_offset int64
    preferred_read_replica int32 11+ = -1
    records records ?
node_endpoints [] 16+ #0
  node_id int32
  host string
  port int32
  rack string ? = null
""",
)

MESSAGES = (REQUEST, RESPONSE)
