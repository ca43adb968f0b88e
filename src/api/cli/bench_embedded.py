"""`headrace bench embedded`: how fast the log is inside this very process, no broker, no socket."""

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import HeadraceError
from ..embedded.log_store import open_store
from .bench_load import INTERRUPTED

if TYPE_CHECKING:
    from ..embedded.topic_partition import TopicPartition

TOPIC = "headrace-bench"
SEGMENT_BYTES = 64 << 20
# Single appends are a call each: fewer of them tell as much.
SINGLE_SHARE = 10
BATCH_RECORDS, MOST_BATCH_BYTES = 1000, 16 << 20
PROGRESS_STEPS, MOST_IN_A_STEP = 50, 100_000


@dataclass(frozen=True, slots=True)
class EmbeddedResult:
    """One way to append or read."""

    load: str
    records: int
    size_bytes: int
    seconds: float

    @property
    def ns_per_record(self) -> float:
        return 1e9 * self.seconds / max(1, self.records)


@dataclass(slots=True)
class EmbeddedRun:
    """What was measured, and why that is not all."""

    results: list[EmbeddedResult] = field(default_factory=list)
    ended_early: str = ""


def run_embedded(
    folder: Path | None,
    *,
    records: int,
    record_bytes: int,
    batch_records: int | None,
    on_progress: Callable[[int, int], None],
) -> EmbeddedRun:
    """Appends one by one, from lists, from an array; then reads all of it.

    `folder` is made and removed again if it is not given; nothing is synced to disk.
    """
    own = Path(tempfile.mkdtemp(prefix="headrace-bench-")) if folder is None else None
    batch = batch_records or max(1, min(BATCH_RECORDS, MOST_BATCH_BYTES // record_bytes))
    run = EmbeddedRun()
    try:
        with open_store(own or folder or Path()) as store:
            name = f"{TOPIC}-{time.time_ns()}"
            topic = store.topic(name, config={"segment.bytes": SEGMENT_BYTES})
            try:
                _measure(run, topic.partition(0), records, record_bytes, batch, on_progress)
            except KeyboardInterrupt:
                run.ended_early = INTERRUPTED
            except HeadraceError as error:
                if not run.results:
                    raise
                run.ended_early = str(error)
            finally:
                store.delete_topic(name)
    finally:
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)
    return run


def _measure(
    run: EmbeddedRun,
    partition: "TopicPartition",
    records: int,
    record_bytes: int,
    batch_records: int,
    on_progress: Callable[[int, int], None],
) -> None:
    value = bytes(index % 251 for index in range(record_bytes))
    values = [value] * batch_records
    array = np.frombuffer(b"".join(values), np.uint8).reshape(batch_records, record_bytes)

    def timed(load: str, count: int, append: Callable[[], object], step: int) -> None:
        """By and by, so that somebody sees it go on; only the calls are timed."""
        seconds, done = 0.0, 0
        try:
            while done < count:
                few = min(count - done, max(1, count // PROGRESS_STEPS), MOST_IN_A_STEP)
                started = time.perf_counter()
                for _ in range(few):
                    append()
                seconds += time.perf_counter() - started
                done += few
                on_progress(few * step, few * step * record_bytes)
        finally:
            if done:
                size_bytes = done * step * record_bytes
                run.results.append(EmbeddedResult(load, done * step, size_bytes, seconds))

    batches = max(1, records // batch_records)
    timed("append", max(1, records // SINGLE_SHARE), lambda: partition.append(value), 1)
    timed("append_many", batches, lambda: partition.append_many(values), batch_records)
    timed("append_array", batches, lambda: partition.append_array(array), batch_records)
    started, seen = time.perf_counter(), 0
    for view in partition.scan():
        seen += len(view.offsets)
        on_progress(len(view.offsets), len(view.offsets) * record_bytes)
    seconds = time.perf_counter() - started
    run.results.append(EmbeddedResult("read", seen, seen * record_bytes, seconds))
