"""A log of known content on disk: made, damaged, opened again, read back."""

from collections.abc import Callable
from pathlib import Path

from headrace.core.batch_builder import BatchBuilder
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import iter_batches
from headrace.core.worker import InlineWorker, Worker
from tests.support.manual_clock import ManualClock

NOW_MS = 1_700_000_000_000
SMALL_SEGMENTS = LogConfig(segment_bytes=4096, index_interval_bytes=256)
ONE_SEGMENT = LogConfig(index_interval_bytes=256)

Row = tuple[int, bytes]


class LogStage:
    """One partition's folder below `root`, and the settings its log is opened with."""

    def __init__(
        self, root: Path, *, config: LogConfig = ONE_SEGMENT, worker: Worker | None = None
    ) -> None:
        self.folder = root / "clicks-0"
        self.config = config
        self.clock = ManualClock(now_ms=NOW_MS)
        self.worker = worker or InlineWorker()

    def open(
        self, *, is_clean: bool = False, recovery_point: int = 0, log_start_offset: int = 0
    ) -> Log:
        return Log.open(
            self.folder,
            topic="clicks",
            partition=0,
            config=self.config,
            clock=self.clock,
            worker=self.worker,
            is_clean=is_clean,
            recovery_point=recovery_point,
            log_start_offset=log_start_offset,
        )

    def write(self, batch_count: int, *, is_clean: bool, value_bytes: int = 40) -> list[Row]:
        """Append batches of two records to the log, close it; what it then holds."""
        log = self.open(is_clean=True)
        for number in range(batch_count):
            values = [b"%d.%d" % (number, index) for index in range(2)]
            log.append_as_leader(
                make_batch([value.ljust(value_bytes, b".") for value in values]), leader_epoch=1
            )
        rows = rows_of(log)
        log.close(clean=is_clean)
        return rows

    def file(self, kind: str = ".log", base_offset: int = 0) -> Path:
        return self.folder / f"{base_offset:020d}{kind}"

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def make_batch(
    values: list[bytes],
    *,
    keys: Callable[[int], bytes | None] = lambda index: b"k%d" % index,
    timestamp: int = NOW_MS,
    **settings: object,
) -> bytes:
    """One batch; record `index` is `index` milliseconds younger than `timestamp`."""
    builder = BatchBuilder(**settings)  # type: ignore[arg-type]
    for index, value in enumerate(values):
        builder.append_record(timestamp=timestamp + index, key=keys(index), value=value)
    return bytes(builder.build())


def rows_of(log: Log, *, max_bytes: int = 1 << 20) -> list[Row]:
    """(offset, value) of every record, read in pieces of `max_bytes`, each CRC checked."""
    rows: list[Row] = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        view = log.read_records(
            start_offset=offset, max_bytes=max_bytes, upper_bound_offset=log.log_end_offset
        )
        if not len(view):
            break
        for batch in iter_batches(view):
            assert batch.crc_is_valid(), batch
            rows += [(each.offset, each.value or b"") for each in batch.records()]
            offset = batch.next_offset
    return rows
