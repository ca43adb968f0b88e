"""A folder that another process writes, read and followed by this one: `open(path, mode="r")`.

No lock is taken and nothing is written but the bell's count of sleepers.  Topics are what the
folder shows; their settings stand in the journal, which belongs to the writer.  Records are read as
soon as they are whole, acknowledged or not; what the writer takes back again may have been seen.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ...core.append_bell import BELL_NAME, AppendBell
from ...core.attached_log import AttachedLog
from ...core.checkpoint_file import read_partition_metadata
from ...core.clock import Clock, SystemClock
from ...core.errors import InconsistentLogDirError, LogClosedError
from ...core.kafka_uuid import ZERO_UUID
from ...core.log_dir import LogDir
from ...raft import FetchedRecords, ListedOffset, TopicImage
from ...raft.errors import UnknownTopicOrPartitionError
from .errors import ReadOnlyStoreError

T = TypeVar("T")


class AttachedPartition:
    """What `TopicPartition` needs of a partition, from outside; every change is refused."""

    def __init__(self, log: AttachedLog, store_path: Path) -> None:
        self.topic = log.topic
        self.index = log.partition
        self.offline_reason = ""
        self._log = log
        self._store_path = store_path

    @property
    def log(self) -> NoReturn:
        raise ReadOnlyStoreError(self._store_path, f"a change of {self.topic}-{self.index}")

    @property
    def log_start_offset(self) -> int:
        self._log.refresh()
        return self._log.log_start_offset

    @property
    def log_end_offset(self) -> int:
        return self._log.log_end_offset

    def fetch_records(self, *, fetch_offset: int, max_bytes: int) -> FetchedRecords:
        """As `Partition.fetch_records`."""
        records = self._log.read_records(start_offset=fetch_offset, max_bytes=max_bytes)
        end, start = self._log.log_end_offset, self._log.log_start_offset
        return FetchedRecords(records, end, end, start, None, None)

    def offset_for_timestamp(self, timestamp: int) -> ListedOffset:
        """As `Partition.offset_for_timestamp`, for times alone."""
        found = self._log.find_offset_by_timestamp(timestamp)
        if found is None:
            return ListedOffset(-1, -1, -1)
        return ListedOffset(found.timestamp, found.offset, found.leader_epoch)

    def append_together(self, batches: Iterable[Any], *, origin: str = "client") -> NoReturn:
        raise ReadOnlyStoreError(self._store_path, "append")

    def delete_records(self, offset: int) -> NoReturn:
        raise ReadOnlyStoreError(self._store_path, "truncate_before")


class BellWatch:
    """Woken by the writer's process."""

    def __init__(self, node: "AttachedNode") -> None:
        self._node = node
        self._seen = 0

    def arm(self) -> None:
        self._seen = self._node.bell.ring_count

    def wait(self, timeout_s: float | None) -> bool:
        return self._node.bell.wait(self._seen, timeout_s)

    def wake(self) -> None:
        self._node.bell.ring()

    def disarm(self) -> None:
        """Nobody was told."""


class AttachedTopics:
    """The folder's topics, in the place of the cluster's state."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def state(self) -> "AttachedTopics":
        return self

    @property
    def topics(self) -> Mapping[str, TopicImage]:
        """Every topic that has a partition's folder by now."""
        counts: dict[str, int] = {}
        for (topic, index), _ in LogDir(self._path).partition_folders():
            counts[topic] = max(counts.get(topic, 0), index + 1)
        return {
            name: TopicImage(name, self._topic_id(name), ((),) * count, {})
            for name, count in counts.items()
        }

    def propose(self, command: object, on_done: object = None) -> NoReturn:
        raise ReadOnlyStoreError(self._path, type(command).__name__)

    def _topic_id(self, name: str) -> bytes:
        return read_partition_metadata(self._path / f"{name}-0") or ZERO_UUID


class AttachedNode:
    """A reader of one folder; see `node.Node`.  Every method is for any thread."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        """Raises FileNotFoundError and InconsistentLogDirError where there is no log folder."""
        self.path = path.absolute()
        self.clock: Clock = clock or SystemClock()
        if not self.path.is_dir():
            raise FileNotFoundError(f"{self.path} is no folder; its writer has to make it first")
        meta = LogDir(self.path).read_meta()
        if meta is None:
            raise InconsistentLogDirError(f"{self.path} is no log folder: no meta.properties")
        self.node_id = meta.node_id
        self.cluster_id = meta.cluster_id
        self.bell = AppendBell(str(self.path / BELL_NAME))
        self.cluster_group = AttachedTopics(self.path)
        self._lock = threading.RLock()
        self._partitions: dict[tuple[str, int], AttachedPartition] = {}
        self._logs: list[AttachedLog] = []
        self._is_closed = False

    @property
    def replicas(self) -> "AttachedNode":
        return self

    def partition(self, topic: str, index: int) -> AttachedPartition:
        """Raises UnknownTopicOrPartitionError where the folder has no such partition."""
        found = self._partitions.get((topic, index))
        if found is None:
            try:
                log = AttachedLog(self.path / f"{topic}-{index}", topic=topic, partition=index)
            except FileNotFoundError:
                raise UnknownTopicOrPartitionError(f"no partition {topic}-{index}") from None
            self._logs.append(log)
            found = self._partitions[topic, index] = AttachedPartition(log, self.path)
        return found

    def partitions(self) -> Iterable[AttachedPartition]:
        return list(self._partitions.values())

    def run(self, call: Callable[[], T]) -> T:
        """What `call` gives; raises LogClosedError after `close`."""
        with self._lock:
            if self._is_closed:
                raise LogClosedError(f"the store {self.path} was closed; open it again")
            return call()

    def watch(self, partitions: object) -> BellWatch:
        return BellWatch(self)

    def start_flush(self, partition: object) -> NoReturn:
        raise ReadOnlyStoreError(self.path, "flush")

    def groups(self) -> NoReturn:
        raise ReadOnlyStoreError(self.path, "keeping a consumer group's offsets")

    def check_room(self, partition_count: int) -> NoReturn:
        raise ReadOnlyStoreError(self.path, "making a topic")

    def close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            for log in self._logs:
                log.close()
        self.bell.ring()  # a tail of this store that sleeps has to see that it was closed
