"""`OffsetsTopic`: writes to __consumer_offsets and reads a partition of it back.

Knows partitions and batches; knows groups only as the records of `group_records.py`.
An append is answered once it passed the high watermark, or when offsets.commit.timeout.ms is over:
it may still come to count then, and whoever keeps what it says is told so.  Loop thread only.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from ...core.batch_builder import BatchBuilder
from ...core.clock import Clock
from ...core.errors import (
    HeadraceError,
    KafkaStorageError,
    LogClosedError,
    RecordBatchTooLargeError,
    RecordTooLargeError,
)
from ...core.record_batch import RecordBatch, iter_batches
from ...raft.errors import (
    NotEnoughReplicasError,
    NotLeaderOrFollowerError,
    UnknownTopicOrPartitionError,
)
from .errors import (
    CoordinatorNotAvailableError,
    GroupError,
    GroupRecordTooLargeError,
    GroupStoreError,
    GroupStoreTimeoutError,
    NotCoordinatorError,
)
from .group import Timer
from .group_records import StoredRecord

if TYPE_CHECKING:
    from typing_extensions import Buffer

logger = logging.getLogger(__name__)

OFFSETS_TOPIC = "__consumer_offsets"
_ALL_REPLICAS = -1

OnAppended = Callable[[GroupError | None], None]
Schedule = Callable[[int, Callable[[], None]], Timer]


class AppendedAt(Protocol):
    """Where a batch came to lie."""

    @property
    def last_offset(self) -> int: ...


class StoredLog(Protocol):
    """The part of a Log that is needed to read it back."""

    @property
    def log_start_offset(self) -> int: ...
    @property
    def log_end_offset(self) -> int: ...
    def read_records(
        self, *, start_offset: int, max_bytes: int, upper_bound_offset: int
    ) -> memoryview: ...


class OffsetsPartition(Protocol):
    """The part of a Partition that is needed here."""

    @property
    def topic(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def log(self) -> StoredLog | None: ...
    @property
    def high_watermark(self) -> int: ...
    def append_records(
        self, records: "Buffer", *, required_acks: int, origin: str
    ) -> AppendedAt: ...
    def wait_for_high_watermark(
        self, offset: int, on_passed: Callable[[BaseException | None], None]
    ) -> object: ...


class PartitionSource(Protocol):
    """The part of the ReplicaManager that is needed here."""

    def partition(self, topic: str, index: int) -> OffsetsPartition: ...


class OffsetsTopic:
    """The one door between the group coordinator and its log."""

    def __init__(
        self,
        *,
        replicas: PartitionSource,
        clock: Clock,
        schedule: Schedule,
        commit_timeout_ms: int,
    ) -> None:
        self._replicas = replicas
        self._clock = clock
        self._schedule = schedule
        self._commit_timeout_ms = commit_timeout_ms

    def append_records(
        self,
        partition_index: int,
        records: Sequence[StoredRecord],
        on_appended: OnAppended,
        on_late: OnAppended | None = None,
    ) -> None:
        """Append `records` as one batch; `on_appended` is called once, perhaps at once.

        `on_late` is told how the append ended where `on_appended` heard of the timeout before.
        """
        now_ms = self._clock.now_ms()
        builder = BatchBuilder()
        for key, value in records:
            builder.append_record(timestamp=now_ms, key=key, value=value)
        try:
            partition = self._replicas.partition(OFFSETS_TOPIC, partition_index)
            info = partition.append_records(
                builder.build(), required_acks=_ALL_REPLICAS, origin="coordinator"
            )
        except HeadraceError as error:
            on_appended(group_error_of(error))
            return
        if partition.high_watermark > info.last_offset:
            on_appended(None)
        else:
            self._wait(partition, info.last_offset + 1, on_appended, on_late)

    def _wait(
        self,
        partition: OffsetsPartition,
        end_offset: int,
        on_appended: OnAppended,
        on_late: OnAppended | None,
    ) -> None:
        waiting: OnAppended | None = on_appended

        def on_passed(error: BaseException | None) -> None:
            timer.cancel()
            if waiting is not None:
                waiting(None if error is None else group_error_of(error))

        def on_timeout() -> None:
            nonlocal waiting
            waiting = on_late
            on_appended(
                GroupStoreTimeoutError(
                    f"{OFFSETS_TOPIC}-{partition.index} was not replicated within "
                    f"offsets.commit.timeout.ms={self._commit_timeout_ms}"
                )
            )

        timer = self._schedule(self._commit_timeout_ms, on_timeout)
        partition.wait_for_high_watermark(end_offset, on_passed)


def group_error_of(error: BaseException) -> GroupError:
    """What a failed append of the coordinator's own records means for its client."""
    if isinstance(error, UnknownTopicOrPartitionError | NotEnoughReplicasError):
        return CoordinatorNotAvailableError(str(error))
    if isinstance(error, NotLeaderOrFollowerError | KafkaStorageError | LogClosedError):
        return NotCoordinatorError(str(error))
    if isinstance(error, RecordTooLargeError | RecordBatchTooLargeError):
        return GroupRecordTooLargeError(str(error))
    return GroupStoreError(f"{OFFSETS_TOPIC} could not be written: {error!r}")


class StoredReader:
    """Reads a partition from its start to where it ended when the reading began.

    Transactional commits come when their commit marker does, aborted ones never, and open
    ones not at all: they are not visible.
    """

    def __init__(self, partition: OffsetsPartition) -> None:
        log = partition.log
        if log is None:
            raise NotLeaderOrFollowerError(f"{partition.topic}-{partition.index} is offline")
        self._log = log
        self._partition = partition
        self._offset = log.log_start_offset
        self.end_offset = log.log_end_offset
        self._open_transactions: dict[int, list[StoredRecord]] = {}

    @property
    def is_finished(self) -> bool:
        return self._offset >= self.end_offset

    @property
    def offsets_left(self) -> int:
        """As many offsets lie before the end; fewer records where it was compacted."""
        return self.end_offset - self._offset

    def read_slice(self, max_bytes: int) -> list[StoredRecord]:
        """The visible records of the next batches, of about `max_bytes`."""
        records = self._log.read_records(
            start_offset=self._offset, max_bytes=max_bytes, upper_bound_offset=self.end_offset
        )
        found: list[StoredRecord] = []
        for batch in iter_batches(records):
            self._offset = batch.next_offset
            found += _visible_records(batch, self._open_transactions)
        if not records:
            self._offset = self.end_offset  # compaction left nothing at the end
        if self.is_finished and self._open_transactions:
            logger.warning(
                "%s-%d: offset commits of %d open transactions do not count",
                self._partition.topic,
                self._partition.index,
                len(self._open_transactions),
            )
        return found


def _visible_records(
    batch: RecordBatch, open_transactions: dict[int, list[StoredRecord]]
) -> list[StoredRecord]:
    if batch.is_control:
        held = open_transactions.pop(batch.producer_id, [])
        # A marker's key: int16 version, int16 type; 1 is commit, 0 is abort.
        is_commit = any(record.key[2:4] == b"\x00\x01" for record in batch.records() if record.key)
        return held if is_commit else []
    found = [(record.key, record.value) for record in batch.records() if record.key is not None]
    if not batch.is_transactional:
        return found
    open_transactions.setdefault(batch.producer_id, []).extend(found)
    return []
