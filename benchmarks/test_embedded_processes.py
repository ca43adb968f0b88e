"""How soon does another process see an append, how long does a folder take to open, and what does a
broker answer beside a thread that computes?

Latencies are those of one record at a time, in microseconds, in `extra_info`: p50 and p99.  They
are wall time, so whatever else the machine runs is in them.  Opening is measured in processor time
of the calling thread; what it waits for the disk is not in it.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import pytest

import headrace
from benchmarks.conftest import Report

PAUSE_S = 0.001
by_thread_time = pytest.mark.benchmark(timer=time.thread_time)
FOLLOWER = """
import json, sys, time
import headrace
folder, count = sys.argv[1], int(sys.argv[2])
waits_us = []
with headrace.open(folder, mode="r") as store, store["clicks"].tail(start="latest") as tail:
    print("ready", flush=True)
    for record in tail:
        waits_us.append((time.perf_counter_ns() - int(record.value)) / 1000)
        if len(waits_us) == count:
            break
print(json.dumps(waits_us))
"""
PRODUCER = """
import json, sys, time
from confluent_kafka import Producer
bootstrap, count = sys.argv[1], int(sys.argv[2])
producer = Producer({"bootstrap.servers": bootstrap, "acks": 1, "linger.ms": 0})
waits_us = []
for number in range(count + 20):
    started = time.perf_counter_ns()
    producer.produce("clicks", bytes(100))
    assert producer.flush(60) == 0
    waits_us.append((time.perf_counter_ns() - started) / 1000)
print(json.dumps(waits_us[20:]))
"""


def note_waits(benchmark: Any, report: Report, waits_us: list[float]) -> None:
    benchmark.pedantic(lambda: None)
    for percent in (50, 99, 99.9):
        benchmark.extra_info[f"p{percent}_us"] = round(float(np.percentile(waits_us, percent)), 1)
    report(b"%d" % len(waits_us))


@pytest.mark.sizes(20, 3_000)
def test_tail_from_another_process(
    benchmark: Any, report: Report, tmp_path: Path, size: int
) -> None:
    """1,000 records a second; from before `append` until the other process holds the record."""
    pause = threading.Event()
    with headrace.open(tmp_path / "data") as store:
        clicks = store.topic("clicks").partition(0)
        clicks.append(b"0")
        command = [sys.executable, "-c", FOLLOWER, str(tmp_path / "data"), str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "ready\n"
            for _ in range(size):
                pause.wait(PAUSE_S)
                clicks.append(b"%d" % perf_counter_ns())
            waits_us = json.loads(follower.stdout.readline())
    note_waits(benchmark, report, waits_us)


@contextmanager
def computing(switch_interval_s: float) -> Iterator[None]:
    """A Python thread that never gives the GIL away of its own accord."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(switch_interval_s)
    is_over = threading.Event()

    def compute() -> None:
        number = 0
        while not is_over.is_set():
            for number in range(10_000):
                number * number

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(usual_s)


@pytest.mark.sizes(5, 1_000)
@pytest.mark.parametrize("beside", ["nothing", "a-computing-thread", "one-that-gives-way"])
def test_produce_to_a_broker_in_this_process(
    benchmark: Any, report: Report, size: int, beside: str
) -> None:
    """confluent-kafka in another process, one record in flight; librdkafka's own cost is in it.

    `one-that-gives-way`: the program has called `sys.setswitchinterval(0.0005)`.
    """
    pytest.importorskip("confluent_kafka")
    with headrace.Broker(topics={"clicks": 1}) as broker:
        command = [sys.executable, "-c", PRODUCER, broker.bootstrap, str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as producer:
            assert producer.stdout is not None
            if beside == "nothing":
                answer = producer.stdout.readline()
            else:
                interval_s = 0.0005 if beside == "one-that-gives-way" else 0.005
                with computing(interval_s):
                    answer = producer.stdout.readline()
    note_waits(benchmark, report, json.loads(answer))


def fill(folder: Path, segments: int, segment_bytes: int) -> int:
    """So many segments of that size; the bytes of records in them."""
    rows = np.zeros((segment_bytes // 114, 100), np.uint8)
    with headrace.open(folder) as store:
        clicks = store.topic("clicks", config={"segment.bytes": segment_bytes}).partition(0)
        for _ in range(segments):
            clicks.append_array(rows)
        return int(clicks.stored.log.size_bytes)


@by_thread_time
@pytest.mark.sizes(2, 160)
def test_open_after_a_clean_close(
    benchmark: Any, report: Report, tmp_path: Path, size: int
) -> None:
    """160 segments: what 10 GB are at 64 MiB each.  Nothing is scanned, whatever their size."""
    fill(tmp_path / "data", size, 1 << 20)
    benchmark(lambda: headrace.open(tmp_path / "data").close())
    report(b"%d" % size)


def drop_pages(folder: Path) -> None:
    """Write the logs back and take them out of the page cache."""
    for path in folder.rglob("*.log"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def open_after_crash(
    benchmark: Any,
    folder: Path,
    *,
    forgets_recovery_point: bool,
    count: int,
    is_cold: bool = False,
) -> None:
    """Open what a process that ended in the middle has left."""
    opened: list[headrace.LogStore] = []

    def crash() -> None:
        while opened:
            opened.pop().close()
        store = headrace.open(folder)
        node: Any = store._node
        store["clicks"].append(bytes(100))
        node.close(clean=False)
        if forgets_recovery_point:
            (folder / "recovery-point-offset-checkpoint").unlink(missing_ok=True)
        if is_cold:
            drop_pages(folder)

    benchmark.pedantic(lambda: opened.append(headrace.open(folder)), setup=crash, rounds=5)
    assert opened[0]["clicks"].partition(0).log_end_offset > count
    opened[0].close()


@by_thread_time
@pytest.mark.sizes(2, 160)
def test_open_after_a_kill(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    """The same 160 segments: only the one that was written to last is scanned."""
    fill(tmp_path / "data", size, 1 << 20)
    open_after_crash(benchmark, tmp_path / "data", forgets_recovery_point=False, count=size)
    report(b"%d" % size)


@by_thread_time
@pytest.mark.sizes(1, 8)
def test_open_where_all_is_scanned(
    benchmark: Any, report: Report, tmp_path: Path, size: int
) -> None:
    """8 segments of 64 MiB, all in the page cache, where nothing says how far they were synced."""
    size_bytes = fill(tmp_path / "data", size, 64 << 20)
    open_after_crash(benchmark, tmp_path / "data", forgets_recovery_point=True, count=size)
    report(b"%d" % size, size_bytes=size_bytes)


@pytest.mark.sizes(1, 8)
def test_open_where_all_is_scanned_from_disk(
    benchmark: Any, report: Report, tmp_path: Path, size: int
) -> None:
    """The same, none of it in the page cache; wall time, as the disk is what is waited for."""
    size_bytes = fill(tmp_path / "data", size, 64 << 20)
    open_after_crash(
        benchmark, tmp_path / "data", forgets_recovery_point=True, count=size, is_cold=True
    )
    report(b"%d" % size, size_bytes=size_bytes)
