"""A log and a log manager in memory, for tests of what stands above them.

A "batch" is a bytes object; each byte of it is one record, so offsets are easy to read.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace.core.errors import (
    HeadraceError,
    KafkaStorageError,
    LogLostError,
    OffsetOutOfRangeError,
)
from headrace.core.log_config import LogConfig


@dataclass
class FakeAppendInfo:
    base_offset: int
    last_offset: int


class FakeLog:
    """Satisfies `headrace.raft.replica_log.ReplicaLog`; flushes end when a test says so."""

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        topic_id: bytes = b"t" * 16,
        config: LogConfig | None = None,
        folder: Path = Path("/logs"),
    ) -> None:
        self.topic, self.partition, self.topic_id = topic, partition, topic_id
        self.config = config or LogConfig()
        self.path = folder / f"{topic}-{partition}"
        self.log_start_offset = 0
        self.high_watermark = 0
        self.recovery_point = 0
        self.epochs: list[tuple[int, int]] = []
        self.content = b""
        self.is_deleted = False
        self.is_offline = False
        self.aborted: list[Any] = []
        self.undecided_from: int | None = None
        self.pending: list[tuple[Callable[[int], None], Callable[[BaseException], None]]] = []

    @property
    def log_end_offset(self) -> int:
        return len(self.content)

    @property
    def last_stable_offset(self) -> int:
        if self.undecided_from is None:
            return self.high_watermark
        return min(self.high_watermark, self.undecided_from)

    @property
    def latest_epoch(self) -> int:
        return self.epochs[-1][0] if self.epochs else -1

    @property
    def needs_flush_before_ack(self) -> bool:
        return self.log_end_offset - self.recovery_point >= self.config.flush_messages

    def append_as_leader(
        self, records: Any, *, leader_epoch: int, origin: str = "client", produce_version: int = 99
    ) -> FakeAppendInfo:
        if self.latest_epoch < leader_epoch:
            self.epochs.append((leader_epoch, self.log_end_offset))
        base_offset = self.log_end_offset
        self.content += bytes(records)
        return FakeAppendInfo(base_offset, self.log_end_offset - 1)

    def truncate_to(self, offset: int) -> None:
        self.content = self.content[:offset]

    def read_records(
        self,
        *,
        start_offset: int,
        max_bytes: int,
        upper_bound_offset: int,
        min_one_batch: bool = True,
        reader_compares: bool = False,
    ) -> memoryview:
        if not self.log_start_offset <= start_offset <= self.log_end_offset:
            raise OffsetOutOfRangeError(start_offset, self.log_start_offset, self.log_end_offset)
        return memoryview(self.content)[start_offset:upper_bound_offset][:max_bytes]

    def aborted_transactions(self, start_offset: int, upper_bound_offset: int, /) -> list[Any]:
        return self.aborted

    def update_high_watermark(self, offset: int, /) -> None:
        assert self.high_watermark <= offset <= self.log_end_offset
        self.high_watermark = offset

    def epoch_at(self, offset: int, /) -> int:
        return max((epoch for epoch, start in self.epochs if start <= offset), default=-1)

    def end_offset_for_epoch(self, leader_epoch: int, /) -> tuple[int, int]:
        for number, (epoch, _) in reversed(list(enumerate(self.epochs))):
            if epoch <= leader_epoch:
                is_last = number + 1 == len(self.epochs)
                return epoch, self.log_end_offset if is_last else self.epochs[number + 1][1]
        return -1, -1

    def find_offset_by_timestamp(self, timestamp: int, /) -> Any:
        """The timestamp of the record at offset n is 100 * n."""
        offset = max(self.log_start_offset, -(-timestamp // 100))
        return self._found(offset) if offset < self.log_end_offset else None

    def find_max_timestamp(self) -> Any:
        return self._found(self.log_end_offset - 1) if self.content else None

    def _found(self, offset: int) -> Any:
        return FakeTimestampOffset(100 * offset, offset, self.epoch_at(offset))

    def increment_log_start_offset(self, offset: int, /) -> None:
        self.log_start_offset = offset

    def update_config(self, config: LogConfig, /) -> None:
        self.config = config

    def flush_async(
        self, on_flushed: Callable[[int], None], on_error: Callable[[BaseException], None]
    ) -> None:
        self.pending.append((on_flushed, on_error))

    def finish_flush(self) -> None:
        pending, self.pending = self.pending, []
        self.recovery_point = self.log_end_offset
        for on_flushed, _ in pending:
            on_flushed(self.recovery_point)

    def fail_flush(self, error: BaseException) -> None:
        pending, self.pending = self.pending, []
        for _, on_error in pending:
            on_error(error)


@dataclass
class FakeTimestampOffset:
    timestamp: int
    offset: int
    leader_epoch: int


class FakeLogManager:
    """Keeps logs by name; `faults` raise when a log is opened."""

    def __init__(self) -> None:
        self.by_name: dict[tuple[str, int], FakeLog] = {}
        self.faults: dict[tuple[str, int], HeadraceError] = {}
        self.lost: set[tuple[str, int]] = set()
        self.offline_dirs: list[Path] = []
        self.default_config = LogConfig()
        self.on_dir_offline: Callable[[Path], None] | None = None

    def get_or_create_log(
        self,
        topic: str,
        partition: int,
        *,
        topic_id: bytes,
        config: LogConfig,
        is_new: bool = True,
        accepts_loss: bool = True,
        accepts_short: bool = True,
    ) -> FakeLog:
        if (topic, partition) in self.faults:
            raise self.faults[topic, partition]
        if not accepts_loss and (topic, partition) in self.lost:
            raise LogLostError(topic, partition, "its folder is gone")
        if self.offline_dirs and not is_new and (topic, partition) not in self.by_name:
            raise KafkaStorageError(self.offline_dirs[0], "the folder is offline")
        log = self.by_name.setdefault((topic, partition), FakeLog(topic, partition))
        log.topic_id, log.config = topic_id, replace(config)
        return log

    def creating_together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def delete_log(self, topic: str, partition: int) -> bool:
        log = self.by_name.pop((topic, partition), None)
        if log is not None:
            log.is_deleted = True
        return log is not None or not self.offline_dirs

    def logs(self) -> list[FakeLog]:
        return list(self.by_name.values())

    def set_default_config(self, config: LogConfig) -> None:
        self.default_config = config
