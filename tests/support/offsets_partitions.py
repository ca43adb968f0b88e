"""__consumer_offsets in memory: real batches, no files, a high watermark a test may hold back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import pack_into

from typing_extensions import Buffer

from headrace.core.record_batch import RecordBatch, iter_batches
from headrace.raft.errors import UnknownTopicOrPartitionError

OnPassed = Callable[[BaseException | None], None]


@dataclass(frozen=True)
class FakeAppendInfo:
    last_offset: int


@dataclass
class FakeOffsetsLog:
    """Batches back to back; offsets as the leader gives them."""

    batches: list[bytes] = field(default_factory=list)
    log_start_offset: int = 0
    log_end_offset: int = 0

    def append_batch(self, records: Buffer) -> int:
        batch = bytearray(records)
        pack_into(">q", batch, 0, self.log_end_offset)
        self.batches.append(bytes(batch))
        self.log_end_offset = RecordBatch(batch).next_offset
        return self.log_end_offset

    def read_records(
        self, *, start_offset: int, max_bytes: int, upper_bound_offset: int
    ) -> memoryview:
        found = b""
        for batch in self.batches:
            if RecordBatch(batch).last_offset < start_offset:
                continue
            if found and len(found) + len(batch) > max_bytes:
                break
            found += batch
        return memoryview(found)


class FakeOffsetsPartition:
    """Satisfies the coordinator's `OffsetsPartition`."""

    def __init__(self, index: int = 0) -> None:
        self.topic = "__consumer_offsets"
        self.index = index
        self.log = FakeOffsetsLog()
        self.high_watermark = 0
        self.is_held = False
        self.refusal: Exception | None = None
        self.waiting: list[tuple[int, OnPassed]] = []

    def append_records(self, records: Buffer, *, required_acks: int, origin: str) -> FakeAppendInfo:
        assert (required_acks, origin) == (-1, "coordinator")
        if self.refusal is not None:
            raise self.refusal
        end_offset = self.log.append_batch(records)
        if not self.is_held:
            self.high_watermark = end_offset
        return FakeAppendInfo(end_offset - 1)

    def wait_for_high_watermark(self, offset: int, on_passed: OnPassed) -> None:
        self.waiting.append((offset, on_passed))

    def release(self, error: BaseException | None = None) -> None:
        """Let the high watermark catch up, or fail everyone who waits for it."""
        if error is None:
            self.high_watermark = self.log.log_end_offset
        waiting, self.waiting = self.waiting, []
        for _, on_passed in waiting:
            on_passed(error)

    def records(self) -> list[tuple[bytes | None, bytes | None]]:
        """Every key and value in log order."""
        return [
            (record.key, record.value)
            for batch in iter_batches(b"".join(self.log.batches))
            for record in batch.records()
        ]


class FakeReplicas:
    """The partitions by index."""

    def __init__(self, count: int = 1) -> None:
        self.partitions = [FakeOffsetsPartition(index) for index in range(count)]

    def partition(self, topic: str, index: int) -> FakeOffsetsPartition:
        if topic != "__consumer_offsets" or index >= len(self.partitions):
            raise UnknownTopicOrPartitionError(f"{topic}-{index}")
        return self.partitions[index]

    def leader_of(self, topic: str, index: int) -> tuple[int, int]:
        return 5, self.partition(topic, index).index
