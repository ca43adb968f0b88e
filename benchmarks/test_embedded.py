"""How fast is the log inside a Python process: appending, reading, handing over to Arrow, opening?

Nothing is synced: page cache.  Beside it, where it is installed, what else Python offers for a
durable queue on disk, with the same 100-byte values.  On a machine where a page's first touch is
dear, appends to a growing file measure that; `truncate_before` lets the file system give the same
pages again.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import headrace
from benchmarks.conftest import Report

VALUE = bytes(range(100))
KEEP_BYTES = 128 * 1024 * 1024


@pytest.fixture
def clicks(tmp_path: Path) -> Iterator[headrace.TopicPartition]:
    with headrace.open(tmp_path / "data") as store:
        config = {"segment.bytes": 64 * 1024 * 1024}
        yield store.topic("clicks", config=config).partition(0)


def measure_append(
    benchmark: Any,
    report: Report,
    partition: headrace.TopicPartition,
    append: Callable[[], object],
    *,
    records: int,
    width: int,
) -> None:
    """Append, and let go of what is old between rounds."""

    def forget() -> None:
        kept = KEEP_BYTES // (width + 10)
        if partition.log_end_offset - partition.log_start_offset > kept:
            partition.truncate_before(partition.log_end_offset - kept)

    append()
    benchmark.pedantic(append, setup=forget, rounds=30, warmup_rounds=2)
    end = partition.log_end_offset
    last = partition.read(end - 1).value(0)
    report(last or b"", records=records, size_bytes=records * width)


@pytest.mark.sizes(10, 10_000)
def test_append_one_record(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int
) -> None:
    def append() -> None:
        for _ in range(size):
            clicks.append(VALUE)

    measure_append(benchmark, report, clicks, append, records=size, width=100)


@pytest.mark.sizes(1, 100)
def test_append_lists_of_a_thousand(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int
) -> None:
    values = [VALUE[:90] + b"%010d" % number for number in range(1000)]

    def append() -> None:
        for _ in range(size):
            clicks.append_many(values)

    measure_append(benchmark, report, clicks, append, records=1000 * size, width=100)


@pytest.mark.sizes(100, 100_000)
@pytest.mark.parametrize("width", [100, 1024])
def test_append_an_array(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int, width: int
) -> None:
    count = size * 100 // width
    rows = np.random.default_rng(0).integers(0, 256, (count, width), np.uint8)

    def append() -> None:
        clicks.append_array(rows)

    measure_append(benchmark, report, clicks, append, records=count, width=width)


@pytest.mark.sizes(100, 100_000)
def test_append_an_arrow_column(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int
) -> None:
    table = pa.table({"value": pa.array([VALUE] * size, pa.binary())})

    def append() -> None:
        clicks.append_arrow(table)

    measure_append(benchmark, report, clicks, append, records=size, width=100)


def read_views(partition: headrace.TopicPartition) -> pa.Table:
    """Keys and values where they lie, not packed."""
    schema = pa.schema(partition)
    for name in ("key", "value"):
        index = schema.get_field_index(name)
        schema = schema.set(index, pa.field(name, pa.binary_view()))
    return pa.RecordBatchReader.from_stream(partition, schema=schema).read_all()


READS: dict[str, Callable[[headrace.TopicPartition], Any]] = {
    "offsets": lambda partition: [view.values.starts for view in partition.scan()],
    "bytes": lambda partition: [view.to_pylist() for view in partition.scan()],
    "numpy": lambda partition: [view.to_numpy("V100") for view in partition.scan()],
    "arrow": pa.table,
    "arrow-views": read_views,
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


@pytest.mark.sizes(100, 1_000_000)
def test_open_after_a_clean_close(
    benchmark: Any, report: Report, tmp_path: Path, size: int
) -> None:
    with headrace.open(tmp_path / "data") as store:
        clicks = store.topic("clicks").partition(0)
        clicks.append_array(np.zeros((size, 100), np.uint8))

    def reopen() -> None:
        headrace.open(tmp_path / "data").close()

    benchmark(reopen)
    report(b"%d" % size, records=size)


def test_start_and_stop_a_broker(benchmark: Any, report: Report) -> None:
    def start_and_stop() -> None:
        with headrace.Broker(topics={"clicks": 1}):
            pass

    start_and_stop()  # imports the server
    benchmark(start_and_stop)
    report(b"")


@pytest.mark.sizes(10, 10_000)
def test_sqlite_beside_it(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    """One INSERT a record in one transaction, in sqlite's fastest durable-enough setting."""
    connection = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=off")
    connection.execute("create table queue (id integer primary key, value blob)")

    def append() -> None:
        connection.execute("begin")
        connection.executemany("insert into queue (value) values (?)", [(VALUE,)] * size)
        connection.execute("commit")

    benchmark.pedantic(append, rounds=10)
    report(VALUE, records=size, size_bytes=size * 100)
    connection.close()


@pytest.mark.sizes(10, 2_000)
@pytest.mark.parametrize("library", ["diskcache", "persistqueue"])
def test_other_queues_beside_it(
    benchmark: Any, report: Report, tmp_path: Path, size: int, library: str
) -> None:
    module = pytest.importorskip(library)
    if library == "diskcache":
        put = module.Deque(directory=str(tmp_path)).append
    else:
        put = module.Queue(str(tmp_path)).put

    def append() -> None:
        for _ in range(size):
            put(VALUE)

    benchmark.pedantic(append, rounds=5)
    report(VALUE, records=size, size_bytes=size * 100)
