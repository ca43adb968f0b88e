"""A full disk: an error to whoever writes, reads go on, and nothing is lost or half made."""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.faulty_disk import FaultyDisk
from tests.support.requests import Requester
from tests.support.stored_records import (
    create_topic,
    delete_topic,
    fetch_all,
    fetch_once,
    grow_topic,
    partitions_of,
    produce,
)

NONE, KAFKA_STORAGE_ERROR = 0, 56
VALUE = b"v" * 700
WITHIN_S = 60


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    return FaultyDisk(tmp_path / "disk")


@pytest.fixture
def broker(tmp_path: Path, disk: FaultyDisk) -> Iterator[BrokerProcess]:
    with BrokerProcess(
        tmp_path, environment=disk.environment, config={"log.segment.bytes": str(1 << 20)}
    ) as process:
        yield process


def fill(
    requester: Requester,
    topic: str,
    expected: dict[int, bytes | None],
    value_bytes: int = len(VALUE),
) -> None:
    """Produce until the disk refuses; what was acknowledged is added to `expected`."""
    for number in range(10_000):
        value = b"%d " % number + b"v" * value_bytes
        error_code, offset = produce(requester, topic, value)
        if error_code == KAFKA_STORAGE_ERROR:
            return
        assert error_code == NONE, error_code
        expected[offset] = value
    raise AssertionError("the disk was never full")


def test_full_disk_refuses_produce_serves_fetch_and_recovers_by_itself(
    broker: BrokerProcess, disk: FaultyDisk
) -> None:
    expected: dict[int, bytes | None] = {}
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks", configs={"segment.bytes": str(1 << 20)})[0] == 0
        for cycle in range(4):
            for number in range(100 * cycle):
                value = b"cycle %d number %d " % (cycle, number) + VALUE
                error_code, offset = produce(requester, "clicks", value)
                assert error_code == NONE
                expected[offset] = value
            disk.is_full(broker.data)
            fill(requester, "clicks", expected)
            assert fetch_all(requester, "clicks") == expected
            assert produce(requester, "clicks", b"x" * 900_000)[0] == KAFKA_STORAGE_ERROR
            disk.works()
            error_code, offset = produce(requester, "clicks", b"again")
            assert error_code == NONE
            expected[offset] = b"again"
        assert sorted(expected) == list(range(len(expected)))
    for is_clean in (False, True):
        if is_clean:
            assert broker.terminate() == 0
        broker.restart()
        with Requester(broker.port) as requester:
            assert fetch_all(requester, "clicks") == expected
            _, offset = produce(requester, "clicks", b"last")
            assert offset == len(expected)
            expected[offset] = b"last"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, where this user may mount one."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("nobody may mount a file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("value_bytes", [700, 100_000])
def test_disk_that_is_really_full_behaves_the_same(
    small_disk: Path, tmp_path: Path, value_bytes: int
) -> None:
    """Deleting a topic makes the room that produce and a restart need."""
    expected: dict[int, bytes | None] = {}
    with BrokerProcess(tmp_path, config={"log.segment.bytes": str(1 << 20)}) as broker:
        with Requester(broker.port) as requester:
            assert create_topic(requester, "clicks")[0] == NONE
            deletable = {"file.delete.delay.ms": "0"}
            assert create_topic(requester, "ballast", configs=deletable)[0] == NONE
            for _ in range(4):
                assert produce(requester, "ballast", b"x" * 900_000)[0] == NONE
            fill(requester, "clicks", expected, value_bytes)
            assert fetch_all(requester, "clicks") == expected
            assert create_topic(requester, "views", 500)[0] == KAFKA_STORAGE_ERROR
            assert partitions_of(requester, "views") == {}
            assert delete_topic(requester, "ballast") == NONE
            wait_until_removed(small_disk, "ballast")
            error_code, offset = produce(requester, "clicks", VALUE * 200)
            assert error_code == NONE
            expected[offset] = VALUE * 200
            assert create_topic(requester, "views", 5)[0] == NONE
        broker.restart()
        with Requester(broker.port) as requester:
            assert fetch_all(requester, "clicks") == expected
            assert produce(requester, "clicks", b"more") == (NONE, len(expected))
        assert broker.terminate() == 0


def wait_until_removed(folder: Path, topic: str) -> None:
    """A deletion is answered before the worker has removed the files, one after the other."""
    pace = threading.Event()
    deadline = time.monotonic() + WITHIN_S
    while list(folder.glob(f"{topic}-*")):
        assert time.monotonic() < deadline
        pace.wait(0.01)


def add_until_accepted(requester: Requester, topic: str, expected: dict[int, bytes | None]) -> None:
    """A partition that waits for room finds it by itself, soon."""
    pace = threading.Event()
    deadline = time.monotonic() + WITHIN_S
    while True:
        error_code, offset = produce(requester, topic, b"room again")
        if error_code == NONE:
            expected[offset] = b"room again"
            return
        assert time.monotonic() < deadline
        pace.wait(0.01)


def test_start_on_a_full_disk_waits_for_room_and_then_serves(
    broker: BrokerProcess, disk: FaultyDisk
) -> None:
    """After a kill: a partition that needs room to recover waits for it, and then serves all."""
    expected: dict[int, bytes | None] = {}
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks")[0] == NONE
        disk.is_full(broker.data)
        fill(requester, "clicks", expected)
    broker.kill()
    disk.is_full(broker.data)
    broker.start()
    with Requester(broker.port) as requester:
        assert fetch_once(requester, "clicks", 0).error_code in (NONE, KAFKA_STORAGE_ERROR)
        assert produce(requester, "clicks", b"x" * 100_000)[0] == KAFKA_STORAGE_ERROR
        disk.works()
        add_until_accepted(requester, "clicks", expected)
        assert fetch_all(requester, "clicks") == expected


def test_kill_on_a_full_disk_keeps_all_that_was_acknowledged(
    broker: BrokerProcess, disk: FaultyDisk
) -> None:
    expected: dict[int, bytes | None] = {}
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks")[0] == 0
        disk.is_full(broker.data)
        fill(requester, "clicks", expected)
    broker.kill()
    disk.works()
    broker.start()
    with Requester(broker.port) as requester:
        assert fetch_all(requester, "clicks") == expected
        assert produce(requester, "clicks", b"more") == (NONE, len(expected))


def test_clean_stop_on_a_full_disk_ends_and_loses_nothing(
    broker: BrokerProcess, disk: FaultyDisk
) -> None:
    expected: dict[int, bytes | None] = {}
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks")[0] == 0
        disk.is_full(broker.data)
        fill(requester, "clicks", expected)
    broker.terminate()
    disk.works()
    broker.start()
    with Requester(broker.port) as requester:
        assert fetch_all(requester, "clicks") == expected


@pytest.mark.parametrize("copies_on_write", [False, True])
def test_topic_cannot_be_made_on_a_full_disk_and_nothing_is_left_of_it(
    broker: BrokerProcess, disk: FaultyDisk, copies_on_write: bool
) -> None:
    with Requester(broker.port) as requester:
        for number in range(3):
            disk.is_full(broker.data, copies_on_write=copies_on_write)
            error_code, message = create_topic(requester, "views", 5)
            assert error_code == KAFKA_STORAGE_ERROR, message
            assert "space" in str(message), message
            assert partitions_of(requester, "views") == {}
            assert not list(broker.data.glob("views-*"))
            disk.works()
            assert create_topic(requester, f"likes{number}", 2)[0] == NONE
        assert create_topic(requester, "views", 5)[0] == NONE
        assert partitions_of(requester, "views") == dict.fromkeys(range(5), NONE)
        for index in range(5):
            assert produce(requester, "views", b"one", partition=index) == (NONE, 0)
    broker.restart()
    with Requester(broker.port) as requester:
        assert partitions_of(requester, "views") == dict.fromkeys(range(5), NONE)
        assert fetch_all(requester, "views", partition=4) == {0: b"one"}


@pytest.mark.parametrize("copies_on_write", [False, True])
def test_journal_on_a_full_disk_refuses_topics_until_there_is_room(
    broker: BrokerProcess, disk: FaultyDisk, copies_on_write: bool
) -> None:
    """Only the folder of the cluster's state is full: its reservation ahead runs out first."""
    with Requester(broker.port) as requester:
        disk.is_full(broker.data / "__headrace_raft", copies_on_write=copies_on_write)
        made = 0
        while (told := create_topic(requester, f"topic{made}", 20))[0] == NONE:
            made += 1
            assert made < 500
        assert told[0] == KAFKA_STORAGE_ERROR, told
        assert partitions_of(requester, f"topic{made}") == {}
        assert not list(broker.data.glob(f"topic{made}-*"))
        if made and not copies_on_write:
            # Deletions have room kept for them: they are what frees a full disk.
            assert delete_topic(requester, "topic0") == NONE
            assert partitions_of(requester, "topic0") == {}
        disk.works()
        assert create_topic(requester, f"topic{made}", 20)[0] == NONE
    broker.restart()
    with Requester(broker.port) as requester:
        for number in range(made and not copies_on_write, made + 1):
            assert partitions_of(requester, f"topic{number}") == dict.fromkeys(range(20), NONE)
            assert produce(requester, f"topic{number}", b"one", partition=19) == (NONE, 0)


def test_partitions_cannot_be_added_on_a_full_disk(broker: BrokerProcess, disk: FaultyDisk) -> None:
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks", 1)[0] == NONE
        disk.is_full(broker.data)
        assert grow_topic(requester, "clicks", 4)[0] == KAFKA_STORAGE_ERROR
        assert partitions_of(requester, "clicks") == {0: NONE}
        disk.works()
        assert grow_topic(requester, "clicks", 4)[0] == NONE
        for index in range(4):
            assert produce(requester, "clicks", b"one", partition=index) == (NONE, 0)


def test_new_partitions_go_where_there_is_room(tmp_path: Path, disk: FaultyDisk) -> None:
    second = tmp_path / "second"
    folders = f"{tmp_path / 'data'},{second}"
    with BrokerProcess(
        tmp_path, environment=disk.environment, config={"log.dirs": folders}
    ) as process:
        disk.is_full(second)
        with Requester(process.port) as requester:
            assert create_topic(requester, "clicks", 6)[0] == NONE
            assert not list(second.glob("clicks-*"))
            for index in range(6):
                assert produce(requester, "clicks", b"one", partition=index) == (NONE, 0)
            disk.works()
            assert create_topic(requester, "views", 6)[0] == NONE
            assert len(list(second.glob("views-*"))) == 6
