"""Committed offsets of groups: commit, fetch, delete.

OffsetCommit (8) 2-10: 2-4 carry a retention time, 6 the leader epoch (KIP-320), 7 static members
(KIP-345), 8 is flexible, 9 allows member epochs (KIP-848), 10 names topics by id (KIP-516).
OffsetFetch (9) 1-10: 2 lets null ask for all topics, 5 tells the leader epoch, 6 is flexible,
7 can insist on stable offsets (KIP-447), 8 asks for many groups (KIP-709), 9 adds member epochs
(KIP-848), 10 names topics by id (KIP-516).
OffsetDelete (47) 0 (KIP-496).
"""

from ..schema import declare

OFFSET_COMMIT_REQUEST = declare(
    "OffsetCommitRequest",
    8,
    versions="2-10",
    flexible="8+",
    text="""
group_id string
generation_id_or_member_epoch int32 1+ = -1
member_id string 1+
group_instance_id string 7+ ? = null
retention_time_ms int64 2-4 = -1
topics []
  name string 0-9
  topic_id uuid 10+
  partitions []
    partition_index int32
    committed_offset int64
    committed_leader_epoch int32 6+ = -1
    committed_metadata string ?
""",
)

OFFSET_COMMIT_RESPONSE = declare(
    "OffsetCommitResponse",
    8,
    versions="2-10",
    flexible="8+",
    text="""
throttle_time_ms int32 3+
topics []
  name string 0-9
  topic_id uuid 10+
  partitions []
    partition_index int32
    error_code int16
""",
)

OFFSET_FETCH_REQUEST = declare(
    "OffsetFetchRequest",
    9,
    versions="1-10",
    flexible="6+",
    text="""
group_id string 0-7
topics [] 0-7 ?2-7
  name string
  partition_indexes []int32
groups [] 8+
  group_id string
  member_id string 9+ ? = null
  member_epoch int32 9+ = -1
  topics [] ?
    name string 8-9
    topic_id uuid 10+
    partition_indexes []int32
require_stable bool 7+
""",
)

OFFSET_FETCH_RESPONSE = declare(
    "OffsetFetchResponse",
    9,
    versions="1-10",
    flexible="6+",
    text="""
throttle_time_ms int32 3+
topics [] 0-7
  name string
  partitions []
    partition_index int32
    committed_offset int64
    committed_leader_epoch int32 5-7 = -1
    metadata string ?
    error_code int16
error_code int16 2-7
groups [] 8+
  group_id string
  topics []
    name string 8-9
    topic_id uuid 10+
    partitions []
      partition_index int32
      committed_offset int64
      committed_leader_epoch int32 = -1
      metadata string ?
      error_code int16
  error_code int16
""",
)

OFFSET_DELETE_REQUEST = declare(
    "OffsetDeleteRequest",
    47,
    versions="0",
    flexible="none",
    text="""
group_id string
topics []
  name string
  partitions []
    partition_index int32
""",
)

OFFSET_DELETE_RESPONSE = declare(
    "OffsetDeleteResponse",
    47,
    versions="0",
    flexible="none",
    text="""
error_code int16
throttle_time_ms int32
topics []
  name string
  partitions []
    partition_index int32
    error_code int16
""",
)

MESSAGES = (
    OFFSET_COMMIT_REQUEST,
    OFFSET_COMMIT_RESPONSE,
    OFFSET_FETCH_REQUEST,
    OFFSET_FETCH_RESPONSE,
    OFFSET_DELETE_REQUEST,
    OFFSET_DELETE_RESPONSE,
)
