"""Agreement and replication: the cluster's decisions, and the partitions that this broker holds."""

from typing import TYPE_CHECKING

from .cluster_group import ClusterGroup
from .cluster_state import ClusterState
from .offset_questions import ListedOffset
from .partition import FetchedRecords, Partition
from .raft_wal import WAL_FOLDER_NAME, RaftWal
from .replica_manager import ReplicaManager
from .topic_image import TopicImage

if TYPE_CHECKING:  # it brings PySyncObj, which only a cluster of several brokers needs
    from .raft_group import RaftGroup as RaftGroup

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
]
