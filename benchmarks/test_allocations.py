"""How many allocations does a batch cost, and does that grow with its records?  Counts, not times.

Counted are the requests to Python's allocators for objects and buffers (load/allocations.c), those
that are given back at once too.  What a call costs is the difference of two runs, so that what the
counter itself needs cancels out; the median of some laps leaves out what is cached on the way.
"""

import asyncio
import ctypes
import gc
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.frames import batch_of, fetch_frame, produce_frame
from benchmarks.in_process import InProcessBroker
from benchmarks.peers.install import BUILD, ROOT, PeerUnavailableError, run_quietly
from headrace.core.batch_encoder import encode_values
from headrace.core.clock import SystemClock
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker

ROUNDS, LAPS = 50, 5
SOURCE = ROOT / "benchmarks/load/allocations.c"
Count = Callable[[Callable[[], object]], float]


@pytest.fixture(scope="module")
def count() -> Count:
    """Allocations that one call makes."""
    library = BUILD / "allocations.so"
    if not library.exists() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        include = f"-I{sysconfig.get_path('include')}"
        command = ["gcc", "-O2", "-shared", "-fPIC", include, "-o", str(library), str(SOURCE)]
        try:
            run_quietly(command, ROOT, "counting allocations needs gcc")
        except PeerUnavailableError as error:
            pytest.skip(str(error))
    counter = ctypes.PyDLL(str(library))
    counter.end_allocations.restype = ctypes.c_long

    def lap(call: Callable[[], object], rounds: int) -> int:
        repeats = range(rounds)
        counter.begin_allocations()
        for _ in repeats:
            call()
        return int(counter.end_allocations())

    def per_call(call: Callable[[], object]) -> float:
        lap(call, ROUNDS)
        gc.collect()
        gc.disable()
        try:
            laps = [lap(call, 2 * ROUNDS) - lap(call, ROUNDS) for _ in range(LAPS)]
        finally:
            gc.enable()
        return sorted(laps)[LAPS // 2] / ROUNDS

    return per_call


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log.open(
        tmp_path / "clicks-0",
        topic="clicks",
        partition=0,
        config=LogConfig(),
        clock=SystemClock(),
        worker=InlineWorker(),
        is_clean=True,
    )
    yield log
    log.close(clean=False)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[InProcessBroker]:
    with InProcessBroker(tmp_path, {"clicks": 1}) as started:
        yield started


def test_the_counter_sees_an_allocation(count: Count) -> None:
    assert count(lambda: bytearray(1000)) >= 2
    assert count(lambda: None) == 0


@pytest.mark.parametrize("records", [1, 100, 1000])
def test_an_append_allocates_for_its_batch_and_not_for_its_records(
    count: Count, log: Log, records: int
) -> None:
    batch = batch_of(records)
    assert count(lambda: log.append_as_leader(batch, leader_epoch=1)) <= MOST["append"]


@pytest.mark.parametrize("records", [1, 100, 1000])
def test_encoding_allocates_for_the_batch_and_not_for_its_records(
    count: Count, records: int
) -> None:
    values = [b"x" * 100] * records
    assert count(lambda: encode_values(values, timestamp=1)) <= MOST["encode"]


def test_a_read_allocates_the_same_whatever_it_lends(count: Count, log: Log) -> None:
    batch = batch_of(10)
    for _ in range(100):
        log.append_as_leader(batch, leader_epoch=1)
    for max_bytes in (100, 1 << 20):
        made = count(
            lambda size=max_bytes: log.read_records(
                start_offset=10, max_bytes=size, upper_bound_offset=1000
            )
        )
        assert made <= MOST["read"]


@pytest.mark.parametrize("records", [1, 100])
def test_a_produce_request_allocates_for_itself_and_not_for_its_records(
    count: Count, broker: InProcessBroker, records: int
) -> None:
    connection, frame = broker.connect(), produce_frame(9, batch_of(records))
    assert count(lambda: connection.exchange(frame)) <= MOST["produce request"]


def test_a_fetch_request_allocates_for_itself_and_not_for_what_it_fetches(
    count: Count, broker: InProcessBroker
) -> None:
    for _ in range(100):
        broker.partition("clicks").append_records(batch_of(10), required_acks=1)
    connection = broker.connect()
    for max_bytes in (1000, 1 << 20):
        frame = fetch_frame(0, max_bytes)
        assert count(lambda of=frame: connection.exchange(of)) <= MOST["fetch request"]


def test_a_fetch_that_waits_allocates_for_one_answer(count: Count, broker: InProcessBroker) -> None:
    """With the batch that it waits for, and what runs the loop here."""
    connection, partition, batch = broker.connect(), broker.partition("clicks"), batch_of(10)

    async def scene() -> None:
        frame = fetch_frame(partition.log_end_offset, 1 << 20, max_wait_ms=60_000)
        answer = connection.exchange(frame)
        partition.append_records(batch, required_acks=1)
        while not answer:
            await asyncio.sleep(0)

    assert count(lambda: broker.run(scene())) <= MOST["waiting fetch"]


# Allocations a call, with some room for another Python.
MOST = {
    "append": 16,
    "encode": 6,
    "read": 8,
    "produce request": 80,
    "fetch request": 90,
    "waiting fetch": 190,
}
