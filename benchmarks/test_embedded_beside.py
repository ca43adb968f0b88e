"""What else does Python offer to keep records on disk, and how fast does it take them?

Each takes the same 100-byte values, one a call or as many at once as it can, and syncs nothing
where it can be asked not to.  What is not installed is left out: `pip install mmapq diskcache
persist-queue confluent-kafka`.  headrace's own figures come from `test_embedded.py`; like there,
times are processor time of the calling thread, but for confluent-kafka, which has threads.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from tests.support.broker_process import BrokerProcess

VALUE = bytes(range(100))
by_thread_time = pytest.mark.benchmark(timer=time.thread_time)


@by_thread_time
@pytest.mark.sizes(10, 10_000)
def test_sqlite(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    """`executemany` in one transaction, in sqlite's fastest durable-enough setting."""
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


@by_thread_time
@pytest.mark.sizes(10, 2_000)
@pytest.mark.parametrize("library", ["diskcache", "persistqueue"])
def test_queues_of_files(
    benchmark: Any, report: Report, tmp_path: Path, size: int, library: str
) -> None:
    """One record a call."""
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


@by_thread_time
@pytest.mark.sizes(10, 10_000)
def test_mmapq(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    """One record a call, into a mapped file of fixed regions; its pages are new ones."""
    mmapq = pytest.importorskip("mmapq")
    queue = mmapq.IndexedQueue.create(str(tmp_path), "clicks")
    appender = queue.create_appender()

    def append() -> None:
        for _ in range(size):
            appender.append(VALUE)

    benchmark.pedantic(append, rounds=20, warmup_rounds=2)
    report(VALUE, records=size, size_bytes=size * 100)
    appender.close()


@pytest.mark.sizes(100, 100_000)
def test_confluent_kafka_to_a_local_broker(
    benchmark: Any, report: Report, tmp_path: Path, size: int
) -> None:
    """`produce` of each record and one `flush`, acks=1, to headrace in a process of its own."""
    confluent_kafka = pytest.importorskip("confluent_kafka")
    with BrokerProcess(tmp_path, topics={"clicks": 1}) as broker:
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "acks": 1,
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

        def append() -> None:
            for _ in range(size):
                producer.produce("clicks", VALUE)
            assert producer.flush(60) == 0

        benchmark.pedantic(append, rounds=5, warmup_rounds=1)
        report(VALUE, records=size, size_bytes=size * 100)
