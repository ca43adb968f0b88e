"""`headrace bench embedded`: how fast the log is inside this very process, no broker, no socket."""

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..embedded.log_store import open_store

if TYPE_CHECKING:
    from ..embedded.topic_partition import TopicPartition

TOPIC = "headrace-bench"
SEGMENT_BYTES = 64 << 20
# Single appends are a call each: fewer of them tell as much.
SINGLE_SHARE = 10


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


def run_embedded(
    folder: Path | None,
    *,
    records: int,
    record_bytes: int,
    batch_records: int,
    on_progress: Callable[[int, int], None],
) -> list[EmbeddedResult]:
    """Appends one by one, from lists, from an array; then reads all of it.

    `folder` is made and removed again if it is not given; nothing is synced to disk.
    """
    own = Path(tempfile.mkdtemp(prefix="headrace-bench-")) if folder is None else None
    try:
        with open_store(own or folder or Path()) as store:
            name = f"{TOPIC}-{time.time_ns()}"
            topic = store.topic(name, config={"segment.bytes": SEGMENT_BYTES})
            try:
                return _measure(
                    topic.partition(0), records, record_bytes, batch_records, on_progress
                )
            finally:
                store.delete_topic(name)
    finally:
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)


def _measure(
    partition: "TopicPartition",
    records: int,
    record_bytes: int,
    batch_records: int,
    on_progress: Callable[[int, int], None],
) -> list[EmbeddedResult]:
    value = bytes(index % 251 for index in range(record_bytes))
    values = [value] * batch_records
    array = np.frombuffer(b"".join(values), np.uint8).reshape(batch_records, record_bytes)
    results = []

    def timed(load: str, count: int, append: Callable[[], object], step: int) -> None:
        started = time.perf_counter()
        for _ in range(count):
            append()
        seconds = time.perf_counter() - started
        done = count * step
        results.append(EmbeddedResult(load, done, done * record_bytes, seconds))
        on_progress(done, done * record_bytes)

    batches = max(1, records // batch_records)
    timed("append", max(1, records // SINGLE_SHARE), lambda: partition.append(value), 1)
    timed("append_many", batches, lambda: partition.append_many(values), batch_records)
    timed("append_array", batches, lambda: partition.append_array(array), batch_records)
    started, seen = time.perf_counter(), 0
    for view in partition.scan():
        seen += len(view.offsets)
    seconds = time.perf_counter() - started
    results.append(EmbeddedResult("read", seen, seen * record_bytes, seconds))
    on_progress(seen, seen * record_bytes)
    return results
