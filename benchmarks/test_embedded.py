"""How fast is the log inside a Python process: appending, reading, handing over to Arrow, opening?

Nothing is synced: page cache.  Times are the processor time of the calling thread, which does all
of the work: on a quiet machine that is the time it takes, and a busy one stretches it less.

Appends are measured twice.  `touched`: into pages that the page cache holds and that were written
before, since the log is cut back to its start under a live view, which zeroes its pages where they
are.  `new`: into pages that the file does not have yet; what a page's first touch costs on this
machine is in the result, though `truncate_before` lets the file system give the same memory again.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import headrace
from benchmarks.conftest import Report

VALUE = bytes(range(100))
pytestmark = pytest.mark.benchmark(timer=time.thread_time)
KEEP_BYTES = 128 * 1024 * 1024


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[headrace.Topic]:
    with headrace.open(tmp_path / "data") as store:
        yield store.topic("clicks", config={"segment.bytes": 256 * 1024 * 1024})


@pytest.fixture
def clicks(topic: headrace.Topic) -> headrace.TopicPartition:
    return topic.partition(0)


@pytest.fixture(params=["touched", "new"])
def pages(request: pytest.FixtureRequest) -> str:
    """Which pages are written: see the module's docstring."""
    chosen: str = request.param
    return chosen


def measure_append(
    benchmark: Any,
    report: Report,
    partition: headrace.TopicPartition,
    append: Callable[[], object],
    *,
    pages: str,
    records: int,
    width: int,
) -> None:
    """Append, and let go of what is old between rounds."""
    partition.append(b"first")
    view = partition.read(0)
    log = partition.stored.log

    def prepare() -> None:
        if pages == "touched":
            log.truncate_to(1)
            return
        kept = KEEP_BYTES // (width + 10)
        if partition.log_end_offset - partition.log_start_offset > kept:
            partition.truncate_before(partition.log_end_offset - kept)

    append()
    benchmark.pedantic(append, setup=prepare, rounds=30, warmup_rounds=2)
    end = partition.log_end_offset
    last = partition.read(end - 1).value(0)
    assert view.value(0) == b"first"
    report(last or b"", records=records, size_bytes=records * width)


@pytest.mark.sizes(10, 10_000)
@pytest.mark.parametrize("by", ["partition", "topic", "topic-key"])
def test_append_one_record(
    benchmark: Any, report: Report, topic: headrace.Topic, size: int, pages: str, by: str
) -> None:
    call = topic.append if by.startswith("topic") else topic.partition(0).append
    key = b"user-1" if by == "topic-key" else None

    def append() -> None:
        for _ in range(size):
            call(VALUE, key=key)

    measure_append(
        benchmark, report, topic.partition(0), append, pages=pages, records=size, width=100
    )


@pytest.mark.sizes(1, 100)
@pytest.mark.parametrize("objects", ["hot", "cold"])
def test_append_lists_of_a_thousand(
    benchmark: Any,
    report: Report,
    clicks: headrace.TopicPartition,
    size: int,
    pages: str,
    objects: str,
) -> None:
    """`hot`: the same 1,000 objects again and again; `cold`: objects scattered over memory."""
    count = 1000 if objects == "hot" else 1000 * size
    values = [VALUE[:90] + b"%010d" % number for number in range(count)]
    order = np.random.default_rng(0).permutation(count)
    scattered = [values[row] for row in order]
    lists = [scattered[start : start + 1000] for start in range(0, count, 1000)]

    def append() -> None:
        for number in range(size):
            clicks.append_many(lists[number % len(lists)])

    measure_append(benchmark, report, clicks, append, pages=pages, records=1000 * size, width=100)


@pytest.mark.sizes(100, 100_000)
@pytest.mark.parametrize("width", [100, 1024])
def test_append_an_array(
    benchmark: Any,
    report: Report,
    clicks: headrace.TopicPartition,
    size: int,
    pages: str,
    width: int,
) -> None:
    count = size * 100 // width
    rows = np.random.default_rng(0).integers(0, 256, (count, width), np.uint8)
    measure_append(
        benchmark,
        report,
        clicks,
        lambda: clicks.append_array(rows),
        pages=pages,
        records=count,
        width=width,
    )


@pytest.mark.sizes(100, 100_000)
def test_append_an_arrow_column(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int, pages: str
) -> None:
    table = pa.table({"value": pa.array([VALUE] * size, pa.binary())})
    measure_append(
        benchmark,
        report,
        clicks,
        lambda: clicks.append_arrow(table),
        pages=pages,
        records=size,
        width=100,
    )


def read_views(partition: headrace.TopicPartition) -> pa.Table:
    """Keys and values where they lie, not packed."""
    schema = pa.schema(partition)
    for name in ("key", "value"):
        index = schema.get_field_index(name)
        schema = schema.set(index, pa.field(name, pa.binary_view()))
    return pa.RecordBatchReader.from_stream(partition, schema=schema).read_all()


def drop_batches(partition: headrace.TopicPartition) -> int:
    """Arrow batch by batch, none kept, as a query runs through them."""
    return sum(batch.num_rows for batch in pa.RecordBatchReader.from_stream(partition))


# What is kept needs memory of its own; what is dropped lets the next use the same, in the cache.
READS: dict[str, Callable[[headrace.TopicPartition], Any]] = {
    "offsets": lambda partition: [view.values.starts for view in partition.scan()],
    "bytes-dropped": lambda partition: sum(len(view.to_pylist()) for view in partition.scan()),
    "bytes-kept": lambda partition: [view.to_pylist() for view in partition.scan()],
    "numpy-dropped": lambda partition: sum(len(view.to_numpy("V100")) for view in partition.scan()),
    "numpy-kept": lambda partition: [view.to_numpy("V100") for view in partition.scan()],
    "arrow-dropped": drop_batches,
    "arrow-kept": pa.table,
    "arrow-views-kept": read_views,
    "records": lambda partition: [sum(1 for _ in view) for view in partition.scan()],
}


@pytest.mark.sizes(100, 200_000)
@pytest.mark.parametrize("kind", READS)
def test_read(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int, kind: str
) -> None:
    clicks.append_array(np.random.default_rng(0).integers(0, 256, (size, 100), np.uint8))
    benchmark(READS[kind], clicks)
    report(clicks.read(size - 1).value(0) or b"", records=size, size_bytes=size * 100)


@pytest.mark.benchmark(timer=time.perf_counter)
def test_start_and_stop_a_broker(benchmark: Any, report: Report) -> None:
    def start_and_stop() -> None:
        with headrace.Broker(topics={"clicks": 1}):
            pass

    start_and_stop()  # imports the server
    benchmark(start_and_stop)
    report(b"clicks")
