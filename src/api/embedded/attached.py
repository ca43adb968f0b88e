"""A folder that another process writes, read and followed by this one: `open(path, mode="r")`.

No lock is taken and nothing is written but the bell's count of sleepers.  Topics are what the
folder shows; their settings stand in the journal, which belongs to the writer.  Records are read as
soon as they are whole, those of an append of several batches once all are: the writer says in the
bell which append it may still take back.  Of a replicated topic, this replica's records are read.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

from ...core.append_bell import BELL_NAME, AppendBell, log_id
from ...core.attached_log import AttachedLog
from ...core.checkpoint_file import read_partition_metadata
from ...core.clock import Clock, SystemClock
from ...core.errors import InconsistentLogDirError, LogClosedError, OffsetOutOfRangeError
from ...core.kafka_uuid import ZERO_UUID
from ...core.log_dir import LogDir
from ...core.record_batch import iter_batches
from ...raft import FetchedRecords, ListedOffset, TopicImage
from ...raft.errors import UnknownTopicOrPartitionError
from .errors import LogFolderNotFoundError, ReadOnlyStoreError

T = TypeVar("T")


class AttachedPartition:
    """What `TopicPartition` needs of a partition, from outside; every change is refused."""

    def __init__(self, log: AttachedLog, store_path: Path, bell: AppendBell) -> None:
        self.topic = log.topic
        self.index = log.partition
        self._log = log
        self._store_path = store_path
        self._bell = bell
        self._log_id = log_id(log.path.name)

    def usable_log(self) -> NoReturn:
        """The log for a change: there is none."""
        raise ReadOnlyStoreError(self._store_path, f"a change of {self.topic}-{self.index}")

    @property
    def log_start_offset(self) -> int:
        self._log.refresh()
        return self._log.log_start_offset

    @property
    def log_end_offset(self) -> int:
        end, _ = self._settled(lambda: self._log.log_end_offset)
        return end

    def fetch_records(self, *, fetch_offset: int, max_bytes: int) -> FetchedRecords:
        """As `Partition.fetch_records`."""
        log = self._log
        end, records = self._settled(
            lambda: log.read_records(start_offset=fetch_offset, max_bytes=max_bytes)
        )
        if fetch_offset > end:
            raise OffsetOutOfRangeError(fetch_offset, log.log_start_offset, end)
        records = _below(records, end)
        return FetchedRecords(records, end, end, log.log_start_offset, None, None)

    def offset_for_timestamp(self, timestamp: int) -> ListedOffset:
        """As `Partition.offset_for_timestamp`, for times alone."""
        end, found = self._settled(lambda: self._log.find_offset_by_timestamp(timestamp))
        if found is None or found.offset >= end:
            return ListedOffset(-1, -1, -1)
        return ListedOffset(found.timestamp, found.offset, found.leader_epoch)

    def _settled(self, read: Callable[[], T]) -> tuple[int, T]:
        """(the end of what the writer can no longer take back, what `read` saw).

        `read` looks at the log's end before anything else.
        """
        bell = self._bell
        while True:
            taken_back = bell.taken_back
            found, end = read(), self._log.known_end_offset
            bound = bell.open_offset(self._log_id)
            if bell.taken_back == taken_back:
                return end if bound is None else min(end, bound), found

    def delete_records(self, offset: int) -> NoReturn:
        raise ReadOnlyStoreError(self._store_path, "truncate_before")


def _below(records: memoryview, end_offset: int) -> memoryview:
    """The batches that end below `end_offset`."""
    size_bytes = 0
    for batch in iter_batches(records):
        if batch.last_offset >= end_offset:
            return records[:size_bytes]
        size_bytes += batch.size_bytes
    return records


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
        """Raises LogFolderNotFoundError, and InconsistentLogDirError for no log folder."""
        self.path = path.absolute()
        self.clock: Clock = clock or SystemClock()
        if not self.path.is_dir():
            raise LogFolderNotFoundError(self.path)
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
                raise UnknownTopicOrPartitionError(
                    f"no partition {topic}-{index}", topic, index
                ) from None
            self._logs.append(log)
            found = AttachedPartition(log, self.path, self.bell)
            self._partitions[topic, index] = found
        return found

    def partitions(self) -> Iterable[AttachedPartition]:
        return list(self._partitions.values())

    @property
    def gate(self) -> None:
        """No record takes the short way: the logs belong to another thread, or process."""
        return None

    def bell_of(self, partition: object) -> None:
        """None: whoever owns the logs rings."""

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
