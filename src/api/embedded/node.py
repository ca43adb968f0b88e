"""`LocalNode`: the node behind a folder that no server runs.

It owns what a broker owns below its sockets (the locked folder, the journal with topics and
settings, the logs and who leads them), so what is embedded today is served tomorrow from the same
folder.  Logs and journal have one owner at a time: whoever holds `lock`.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ...core.append_bell import AppendBell, AppendBells, log_id
from ...core.clock import Clock, SystemClock
from ...core.config_def import LONG_MAX
from ...core.errors import InconsistentLogDirError, LogClosedError
from ...core.log_config import LogConfig
from ...core.log_dir import LogDir, parse_folder_name
from ...core.log_manager import LogManager
from ...core.record_appender import StoreGate
from ...core.worker import ThreadWorker
from ...raft import ClusterGroup, Partition, RaftWal, ReplicaManager
from ...raft.raft_wal import wal_folder_in
from .errors import NotAFolderError
from .flush_wait import FlushWait
from .housekeeping import Housekeeping, Job
from .watch import PartitionWatch, Watch

if TYPE_CHECKING:
    from ..coordinator.group_coordinator import GroupCoordinator

T = TypeVar("T")

Placed = tuple[int, int, int]
"""Where an append went: (first_offset, end_offset, leader_epoch)."""

DEFAULT_NODE_ID = 1
RETENTION_CHECK_INTERVAL_MS = 300_000
CHECKPOINT_INTERVAL_MS = 60_000
CLEANER_INTERVAL_MS = 15_000
FLUSH_SCAN_INTERVAL_MS = 1_000
# What a folder may hold before it was ever opened.
_HARMLESS_NAMES = frozenset(("lost+found", ".gitignore", ".gitkeep", ".DS_Store", ".lock"))

logger = logging.getLogger(__name__)


class Node(Protocol):
    """Whoever owns the logs: this process alone, or an in-process broker."""

    @property
    def clock(self) -> Clock: ...
    @property
    def path(self) -> Path: ...
    @property
    def node_id(self) -> int: ...
    @property
    def cluster_id(self) -> str: ...
    @property
    def cluster_group(self) -> ClusterGroup: ...
    @property
    def replicas(self) -> ReplicaManager: ...

    @property
    def gate(self) -> StoreGate | None:
        """How one record takes the short way into its log; None where the logs are elsewhere."""
        ...

    def bell_of(self, partition: Partition) -> AppendBell | None:
        """What wakes processes that read the folder; for whoever has a gate."""
        ...

    def run(self, call: Callable[[], T]) -> T:
        """What `call` gives, called where logs and journal may be touched; from any thread.

        Raises LogClosedError once the node is closed.
        """
        ...

    def append_one(self, partition: Partition, batch: bytearray, origin: str) -> int:
        """Append one batch, from any thread; its first offset."""
        ...

    def append_together(
        self, partition: Partition, batches: Iterable[bytearray], origin: str, *, is_synced: bool
    ) -> tuple[Placed, FlushWait | None]:
        """Append batches, all or none, from any thread; where they stand, and their sync if asked.

        Who reads the folder from another process sees none of them before all are there.
        """
        ...

    def start_flush(self, partition: Partition) -> FlushWait:
        """Have what is written by now synced; call it inside `run`, wait outside of it."""
        ...

    def watch(self, partitions: Sequence[Partition]) -> Watch:
        """How to wait for more of these partitions; for any thread."""
        ...

    def groups(self) -> "GroupCoordinator":
        """Who keeps consumer groups, with __consumer_offsets made and loaded; use it in `run`."""
        ...

    def check_room(self, partition_count: int) -> None:
        """Raise KafkaStorageError where the disk cannot take so many new logs."""
        ...

    def close(self) -> None:
        """Stop; idempotent."""
        ...


class LocalNode:
    """The writer of one folder, until `close`.  Every method is for any thread."""

    def __init__(
        self, path: Path, *, clock: Clock | None = None, flush_interval_ms: int | None = None
    ) -> None:
        """Lock and load the folder, which is made if it is not there.

        `flush_interval_ms` is the flush.ms of topics that set none.  Raises LogDirLockedError (it
        names the process that writes here), InconsistentLogDirError where the folder is no log
        folder or belongs to a cluster, KafkaStorageError, NotAFolderError.
        """
        self.path = path.absolute()
        self.clock: Clock = clock or SystemClock()
        self.lock = threading.RLock()
        self.gate = StoreGate(self.lock)
        self._flushes_done = threading.Condition(self.lock)
        self._pending_flushes = 0
        self._is_closed = False
        self._groups: GroupCoordinator | None = None
        _refuse_foreign_folder(self.path)
        meta = LogDir(self.path).read_meta()
        self.node_id = meta.node_id if meta is not None else DEFAULT_NODE_ID
        self._worker = ThreadWorker(self._deliver, name="headrace-store-worker")
        default_config = replace(LogConfig(), flush_ms=flush_interval_ms or LONG_MAX)
        self._log_manager = LogManager(
            [self.path],
            clock=self.clock,
            worker=self._worker,
            default_config=default_config,
            node_id=self.node_id,
        )
        try:
            with self.lock:
                self._start(default_config)
        except BaseException:
            self._worker.close()
            raise
        self._housekeeping = Housekeeping(
            self._timetable(flush_interval_ms), clock=self.clock, run=self._run_job
        )

    def _start(self, default_config: LogConfig) -> None:
        self._log_manager.start()
        try:
            self._wal = RaftWal.open(wal_folder_in([self.path]))
            self.cluster_group = ClusterGroup(self._wal, broker_id=self.node_id)
            _refuse_cluster(self.path, self.node_id, self.cluster_group)
            self.replicas = ReplicaManager(
                broker_id=self.node_id,
                log_manager=self._log_manager,
                cluster_group=self.cluster_group,
                wal=self._wal,
                clock=self.clock,
                default_config=default_config,
            )
            self._bells = AppendBells()
            self.replicas.committed_hook_of = self._bells.ring_of
            self.replicas.start()
            self._take_over(default_config)
        except BaseException:
            if hasattr(self, "_wal"):
                self._wal.close()
            self._log_manager.close(clean=self._log_manager.was_clean)
            raise

    def _take_over(self, default_config: LogConfig) -> None:
        """Make topics of logs that the journal does not know: Kafka's, or of a lost journal."""
        topics = self.cluster_group.state.topics
        if all(log.topic in topics for log in self._log_manager.logs()):
            return
        from ..takeover.take_over import take_over

        take_over(
            log_manager=self._log_manager,
            cluster_group=self.cluster_group,
            clock=self.clock,
            default_config=default_config,
        )

    @property
    def cluster_id(self) -> str:
        return self._log_manager.cluster_id

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def run(self, call: Callable[[], T]) -> T:
        """What `call` gives, called under the lock; raises LogClosedError after `close`."""
        with self.lock:
            if self._is_closed:
                raise LogClosedError(f"the store {self.path} was closed; open it again")
            self.gate.settle()
            return call()

    def bell_of(self, partition: Partition) -> AppendBell | None:
        """What wakes processes that read the folder."""
        log = partition.log
        return None if log is None else self._bells.bell_of(log.path)

    def append_one(self, partition: Partition, batch: bytearray, origin: str) -> int:
        """Append one batch under the lock; its first offset."""
        with self.lock:
            if self._is_closed:
                raise LogClosedError(f"the store {self.path} was closed; open it again")
            info = partition.append_records(batch, required_acks=1, origin=origin)
            offset: int = info.base_offset
            return offset

    def append_together(
        self, partition: Partition, batches: Iterable[bytearray], origin: str, *, is_synced: bool
    ) -> tuple[Placed, FlushWait | None]:
        """Append batches under the lock, all or none; see `Node`."""
        with self.lock:
            if self._is_closed:
                raise LogClosedError(f"the store {self.path} was closed; open it again")
            self.gate.settle()
            placed = append_announced(partition, batches, origin, self._bells)
            return placed, self.start_flush(partition) if is_synced else None

    def start_flush(self, partition: Partition) -> FlushWait:
        """Have the partition synced on the worker, together with whoever else waits."""
        wait = FlushWait(self._flush_ended)
        self._pending_flushes += 1
        wait.start(partition)
        return wait

    def watch(self, partitions: Sequence[Partition]) -> Watch:
        """To be woken when one of them has more."""
        return PartitionWatch(self, partitions)

    def groups(self) -> "GroupCoordinator":
        """Who keeps consumer groups; made and loaded at the first call."""
        return self.run(self._hosted_groups)

    def _hosted_groups(self) -> "GroupCoordinator":
        if self._groups is None:
            from .local_groups import host_local_groups

            self._groups = host_local_groups(
                log_manager=self._log_manager,
                cluster_group=self.cluster_group,
                replicas=self.replicas,
                clock=self.clock,
                run_locked=self._run_job,
            )
        return self._groups

    def check_room(self, partition_count: int) -> None:
        self._log_manager.check_room(partition_count)

    def close(self, *, clean: bool = True) -> None:
        """Finish the syncs that are waited for, close every log, unlock the folder.  Idempotent.

        After a clean close the next opening scans nothing.
        """
        with self.lock:
            if self._is_closed:
                return
            self.gate.settle()
            self._is_closed = self.gate.is_closed = True
            while self._pending_flushes:
                self._flushes_done.wait()
            if self._groups is not None:
                self._groups.close()
            self.replicas.close()
            self._log_manager.close(clean=clean)
            self._wal.close()
        self._housekeeping.stop()
        self._worker.close()

    def _flush_ended(self) -> None:
        self._pending_flushes -= 1
        self._flushes_done.notify_all()

    def _deliver(self, call: Callable[[], Any]) -> None:
        """Take note, under the lock, of what the worker did."""
        with self.lock:
            self.gate.settle()
            try:
                call()
            except Exception:
                logger.exception("%s: a background job failed", self.path)

    def _run_job(self, job: Callable[[], object]) -> None:
        with self.lock:
            if not self._is_closed:
                self.gate.settle()
                job()

    def _timetable(self, flush_interval_ms: int | None) -> list[Job]:
        logs = self._log_manager
        flush_ms = min(flush_interval_ms or FLUSH_SCAN_INTERVAL_MS, FLUSH_SCAN_INTERVAL_MS)
        return [
            Job("flush", flush_ms, logs.flush_due),
            Job("retention", RETENTION_CHECK_INTERVAL_MS, logs.enforce_retention),
            Job("compaction", CLEANER_INTERVAL_MS, logs.compact),
            Job("recovery points", CHECKPOINT_INTERVAL_MS, logs.checkpoint_recovery_points),
            Job("log starts", CHECKPOINT_INTERVAL_MS, logs.checkpoint_log_start_offsets),
            Job("high watermarks", CHECKPOINT_INTERVAL_MS, logs.checkpoint_high_watermarks),
        ]


def append_announced(
    partition: Partition, batches: Iterable[bytearray], origin: str, bells: AppendBells
) -> Placed:
    """`Partition.append_together`, announced to other processes until it is over.

    For the logs' owner.
    """
    log = partition.log
    bell = bells.bell_of(log.path) if log is not None else None
    if log is None or bell is None:
        return partition.append_together(batches, origin=origin)
    bell.begin_append(log_id(log.path.name), log.log_end_offset)
    try:
        placed = partition.append_together(batches, origin=origin)
    except BaseException:
        bell.end_append(is_taken_back=True)
        raise
    bell.end_append()
    bell.ring()
    return placed


def _refuse_foreign_folder(path: Path) -> None:
    """Raise unless `path` is new, empty, or a folder of logs: ours or Kafka's."""
    if not path.exists():
        return
    if not path.is_dir():
        raise NotAFolderError(path)
    names = [entry.name for entry in os.scandir(path)]
    is_log_dir = "meta.properties" in names or any(map(parse_folder_name, names))
    others = sorted(set(names) - _HARMLESS_NAMES)
    if others and not is_log_dir:
        raise InconsistentLogDirError(
            f"{path} is no log folder: it has no meta.properties, but holds {', '.join(others[:3])}"
            "; choose a folder that is new, empty, or was made by headrace or Kafka"
        )


def _refuse_cluster(path: Path, node_id: int, group: ClusterGroup) -> None:
    others = sorted(set(group.state.brokers) - {node_id})
    if others:
        raise InconsistentLogDirError(
            f"{path} is broker {node_id}'s part of a cluster with broker {others[0]}; writing "
            "here without them would part its replicas: produce through the brokers instead"
        )
