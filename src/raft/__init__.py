"""Agreement and replication: the cluster's decisions, and the partitions that this broker holds."""

from .cluster_group import ClusterGroup
from .cluster_state import ClusterState
from .offset_questions import ListedOffset
from .partition import FetchedRecords, Partition
from .raft_wal import WAL_FOLDER_NAME, RaftWal
from .replica_manager import ReplicaManager
from .topic_image import TopicImage
from .wal_dump import dump_wal

__all__ = [
    "WAL_FOLDER_NAME",
    "ClusterGroup",
    "ClusterState",
    "FetchedRecords",
    "ListedOffset",
    "Partition",
    "RaftWal",
    "ReplicaManager",
    "TopicImage",
    "dump_wal",
]
