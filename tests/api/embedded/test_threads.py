"""Many threads on one store, on many stores and on many brokers: with a GIL, and without one.

On a free-threaded Python these run side by side; src/api/embedded/README.md tells on which.
"""

import os
import random
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import headrace
from headrace.core import mapped_file
from headrace.core.errors import LogClosedError, OffsetOutOfRangeError
from headrace.core.mapped_file import MappedFile

JOIN_S = 60
PRODUCERS = 4
ROUNDS = 60
# Rolls a segment every few rounds, so that reads, deletions and mappings go over many files.
SMALL = {"segment.index.bytes": 240, "index.interval.bytes": 1024, "file.delete.delay.ms": 0}


class Threads:
    """Threads whose first error fails the test; `stop` is for those that go on until told."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self._started: list[threading.Thread] = []

    def start(self, work: Callable[..., object], *arguments: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                self.errors.append(error)
                self.stop.set()

        thread = threading.Thread(target=run, daemon=True)
        self._started.append(thread)
        thread.start()
        return thread

    def repeat(self, work: Callable[..., object], *arguments: object) -> threading.Thread:
        """Call it again and again until `stop` is set."""

        def go_on() -> None:
            while not self.stop.is_set():
                work(*arguments)

        return self.start(go_on)

    def join(self) -> None:
        for thread in self._started:
            thread.join(JOIN_S)
            assert not thread.is_alive(), "a thread hangs"
        for error in self.errors:
            raise error


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """Have the threads take turns often, where they take turns."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@contextmanager
def running() -> Iterator[Threads]:
    threads = Threads()
    try:
        yield threads
    finally:
        threads.stop.set()
        threads.join()


def produce(topic: headrace.Topic, producer: int, placed: list[tuple[int, int, bytes]]) -> None:
    """Append in each of the ways; what was acknowledged is (partition, offset, value)."""
    for number in range(ROUNDS):
        name = b"%02d-%06d-" % (producer, number)
        partition = number % len(topic.partitions)
        one = name + b"one" * 40
        placed.append((partition, topic.append(one, partition=partition), one))
        headed = name + b"headed"
        offset = topic.append(headed, headers={"h": b"1"}, partition=partition)
        placed.append((partition, offset, headed))
        many = [name + b"%03d" % each for each in range(50)]
        first, count = topic.append_many(many, partition=partition)
        assert count == 50
        placed += [(partition, first + each, value) for each, value in enumerate(many)]
        rows = np.frombuffer(b"".join(value.ljust(400) for value in many[:40]), np.uint8)
        first, count = topic.append_array(rows.reshape(40, 400), partition=partition)
        placed += [(partition, first + each, many[each].ljust(400)) for each in range(count)]


def read_somewhere(
    topic: headrace.Topic, held: "deque[tuple[headrace.RecordBatchView, list[bytes | None]]]"
) -> None:
    partition = random.choice(topic.partitions)
    start, end = partition.log_start_offset, partition.log_end_offset
    offset = random.randint(start, end)
    try:
        view = partition.read(offset, max_bytes=random.choice([1, 5_000, 200_000]))
    except OffsetOutOfRangeError:  # given up meanwhile
        assert partition.log_start_offset > offset
        return
    values = view.to_pylist()
    assert [record.value for record in view] == values
    assert view.offsets.tolist() == list(range(offset, offset + len(values)))
    held.append((view, values))


def follow(topic: headrace.Topic, group: str, seen: list[tuple[int, int, bytes]]) -> None:
    """Until the store is closed."""
    with suppress(LogClosedError), topic.tail(group=group) as tail:
        for record in tail:
            seen.append((tail.partition, record.offset, record.value))


def check_what_stayed(
    folder: Path, expected: list[tuple[int, int, bytes]], seen: list[tuple[int, int, bytes]]
) -> None:
    """All that was acknowledged to "kept" and nothing else, followed in order."""
    with headrace.open(folder) as store:
        assert store.verify() == []
        found = [
            (view.partition, offset, value)
            for view in store["kept"].scan()
            for offset, value in zip(view.offsets.tolist(), view.to_pylist(), strict=True)
        ]
        assert sorted(found) == expected
        place = store.committed("report")
    assert set(seen) <= set(expected)
    for index in range(3):
        offsets = [offset for partition, offset, _ in seen if partition == index]
        assert offsets == list(range(len(offsets)))
        assert place.get(("kept", index), 0) <= len(offsets)


def test_all_at_once_on_one_store(folder: Path) -> None:
    seen: list[tuple[int, int, bytes]] = []
    placed: list[list[tuple[int, int, bytes]]] = [[] for _ in range(2 * PRODUCERS)]
    held: deque[tuple[headrace.RecordBatchView, list[bytes | None]]] = deque(maxlen=200)
    store = headrace.open(folder)
    kept = store.topic("kept", partitions=3, config=SMALL)
    short = store.topic("short", partitions=2, config=SMALL)

    def give_up_records() -> None:
        for partition in short.partitions:
            partition.truncate_before(max(0, partition.log_end_offset - 500))

    def come_and_go() -> None:
        topic = store.topic("passing", config=SMALL)
        topic.append_many([b"x" * 100] * 10)
        held.append((view := topic.read(), view.to_pylist()))
        store.delete_topic("passing")

    with running() as threads:
        threads.start(follow, kept, "report", seen)
        producers = [
            threads.start(produce, topic, number, placed[number])
            for number, topic in enumerate([kept, short] * PRODUCERS)
        ]
        others = [
            threads.repeat(read_somewhere, kept, held),
            threads.repeat(read_somewhere, short, held),
            threads.repeat(give_up_records),
            threads.repeat(come_and_go),
            threads.repeat(lambda: (store.flush(), list(store), store.committed("report"))),
        ]
        for producer in producers:
            producer.join(JOIN_S)
        threads.stop.set()
        for thread in others:
            thread.join(JOIN_S)
        store.close()  # which ends the follower
    for view, values in held:
        assert view.to_pylist() == values
    check_what_stayed(folder, sorted(each for own in placed[::2] for each in own), seen)


def test_a_store_is_closed_under_everybody(folder: Path) -> None:
    store = headrace.open(folder)
    clicks = store.topic("clicks", partitions=2, config=SMALL)
    held: deque[tuple[headrace.RecordBatchView, list[bytes | None]]] = deque(maxlen=100)
    counts = [0] * PRODUCERS
    well_under_way = threading.Event()

    def until_closed(work: Callable[[], object]) -> None:
        with suppress(LogClosedError):
            while True:
                work()

    def append(number: int) -> None:
        clicks.append(b"%d" % number * 200, partition=number % 2)
        counts[number] += 1
        if counts[number] == 500:
            well_under_way.set()

    with running() as threads:
        for number in range(PRODUCERS):
            threads.start(until_closed, lambda number=number: append(number))
        threads.start(until_closed, lambda: clicks.append_many([b"many"] * 100, partition=1))
        threads.start(until_closed, lambda: read_somewhere(clicks, held))
        threads.start(until_closed, lambda: clicks.partitions[0].truncate_before(1))
        threads.start(follow, clicks, "report", [])
        assert well_under_way.wait(JOIN_S)
        for _ in range(2):
            threads.start(store.close)
    for view, values in held:
        assert view.to_pylist() == values
    with headrace.open(folder) as store:
        assert store.verify() == []
        assert sum(counts[::2]) == store["clicks"].partition(0).log_end_offset


def test_stores_share_descriptors_and_mappings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each store closes what another has used last, in the middle of its calls."""
    monkeypatch.setattr(mapped_file, "MAX_OPEN_DESCRIPTORS", 4)
    monkeypatch.setattr(mapped_file, "MAX_IDLE_MAPPINGS", 4)
    value = bytes(range(256)) * 80  # goes through pwrite, by descriptor

    def work(store: headrace.LogStore) -> None:
        topic = store.topic("t", partitions=3, config=SMALL)
        for number in range(40):
            for partition in topic.partitions:
                assert partition.append(value) == number
                offset = random.randint(0, number)
                assert partition.read(offset, max_records=1).to_pylist() == [value]

    with ExitStack() as stack, running() as threads:
        stores = [stack.enter_context(headrace.open(tmp_path / f"{n}")) for n in range(4)]
        workers = [threads.start(work, store) for store in stores]
        for worker in workers:
            worker.join(JOIN_S)
        assert not threads.errors, threads.errors
        assert [store.verify() for store in stores] == [[]] * 4


def test_views_are_counted_whoever_gives_them_back(tmp_path: Path) -> None:
    file = MappedFile(str(tmp_path / "file"), max_bytes=1 << 20)
    file.append_bytes(b"x" * 4096)
    view = file.view(0, 4096)
    base = view.obj

    def take_and_give() -> None:
        for _ in range(20_000):
            memoryview(base).release()

    with running() as threads:
        workers = [threads.start(take_and_give) for _ in range(4)]
        for worker in workers:
            worker.join(JOIN_S)
    assert base.view_count == 1
    view.release()
    assert base.view_count == 0
    file.close()


def test_brokers_beside_each_other_in_one_process() -> None:
    with ExitStack() as stack, running() as threads:
        brokers = [stack.enter_context(headrace.Broker(topics={"clicks": 2})) for _ in range(3)]

        def work(broker: headrace.Broker, worker: int) -> None:
            clicks = broker.store["clicks"]
            for number in range(50):
                clicks.append(b"%d-%d" % (worker, number), partition=worker % 2)
            broker.assert_produced("clicks", value=b"%d-%d" % (worker, 49), timeout=JOIN_S)
            with clicks.tail(group=f"group-{worker}", follow=False) as tail:
                assert sum(1 for _ in tail) >= 50

        workers = [threads.start(work, broker, worker) for broker in brokers for worker in range(3)]
        for worker in workers:
            worker.join(JOIN_S)
        assert not threads.errors, threads.errors
        for broker in brokers:
            values = sorted(record.value or b"" for record in broker.records("clicks"))
            assert values == sorted(b"%d-%d" % (w, n) for w in range(3) for n in range(50))


@pytest.mark.skipif("t" not in sys.abiflags, reason="this Python is not free-threaded")
def test_our_modules_leave_the_gil_off() -> None:
    """None of ours turns it on; what headrace depends on may, where PYTHON_GIL=0 does not say."""
    program = "import headrace.core, headrace.api.wire.codec, headrace.api.embedded.broker"
    # No PYTHON_GIL here: with it the interpreter says nothing.
    environment = {name: text for name, text in os.environ.items() if name != "PYTHON_GIL"}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "to load module 'headrace" not in ended.stderr
