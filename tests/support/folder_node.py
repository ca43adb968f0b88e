"""Log manager, journal and replica manager over real folders, as a broker puts them together."""

from pathlib import Path
from typing import Any

from headrace.core.clock import Clock, SystemClock
from headrace.core.log_config import LogConfig
from headrace.core.log_manager import LogManager
from headrace.core.worker import Worker
from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.raft_wal import RaftWal, wal_folder_in
from headrace.raft.replica_manager import ReplicaManager


class FolderNode:
    """A broker's floors below the wire; `clock` and `worker` are those of its logs.

    The replicas are started by whoever has put the rest together.
    """

    def __init__(self, *log_dirs: Path, clock: Clock, worker: Worker, config: LogConfig) -> None:
        self.log_dirs = log_dirs
        self.logs = LogManager(
            log_dirs, clock=clock, worker=worker, default_config=config, node_id=0
        )
        self.logs.start()
        self.wal = RaftWal.open(wal_folder_in(self.logs.log_dirs))
        self.cluster = ClusterGroup(self.wal, broker_id=0)
        self.replicas = ReplicaManager(
            broker_id=0,
            log_manager=self.logs,
            cluster_group=self.cluster,
            wal=self.wal,
            clock=SystemClock(),
            default_config=config,
        )

    def decide(self, command: Any) -> Any:
        """What the cluster's group answered; None where it has not yet."""
        results: list[Any] = []
        self.cluster.propose(command, results.append)
        return results[0] if results else None
