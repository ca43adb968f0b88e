"""Files that were changed under a stopped broker: what is rebuilt, what stops one partition, and
that no record is ever served that fails its CRC."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.requests import Requester
from tests.support.stored_records import (
    create_topic,
    fetch_all,
    fetch_once,
    make_batch,
    partitions_of,
    produce,
    produce_batch,
)

NONE, CORRUPT_MESSAGE, LEADER_NOT_AVAILABLE, KAFKA_STORAGE_ERROR = 0, 2, 5, 56
SEGMENT_BYTES = 1 << 20
VALUE = b"0123456789" * 15_000
BATCHES = 20


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path, config={"log.segment.bytes": str(SEGMENT_BYTES)}) as process:
        yield process


def fill(requester: Requester, topic: str) -> dict[int, bytes | None]:
    """A topic of one partition with three segments; its records by offset."""
    assert create_topic(requester, topic)[0] == NONE
    expected: dict[int, bytes | None] = {}
    for number in range(BATCHES):
        value = b"%s %d " % (topic.encode(), number) + VALUE
        batch = make_batch(value, producer_id=7, producer_epoch=0, base_sequence=number)
        error_code, offset = produce_batch(requester, topic, batch)
        assert error_code == NONE
        expected[offset] = value
    assert sorted(expected) == list(range(BATCHES))
    return expected


def segments_of(broker: BrokerProcess, topic: str) -> list[Path]:
    files = sorted((broker.data / f"{topic}-0").glob("*.log"))
    assert len(files) >= 3, files
    return files


def flip_byte_of(path: Path, needle: bytes) -> int:
    """Change one byte of the value that begins with `needle`; where that is."""
    content = bytearray(path.read_bytes())
    position = content.index(needle) + len(needle) + 1000
    content[position] ^= 0x10
    path.write_bytes(content)
    return position


def stop(broker: BrokerProcess, *, is_clean: bool) -> None:
    if is_clean:
        assert broker.terminate() == 0
    else:
        broker.kill()


def test_changed_byte_is_not_served_after_a_clean_stop(broker: BrokerProcess) -> None:
    """CORRUPT_MESSAGE for the batch alone, logged once; everything around it is served."""
    with Requester(broker.port) as requester:
        expected = fill(requester, "clicks")
        others = fill(requester, "views")
    stop(broker, is_clean=True)
    files = segments_of(broker, "clicks")
    flip_byte_of(files[0], b"clicks 3 ")
    flip_byte_of(files[-1], b"clicks %d " % (BATCHES - 1))
    broker.start()
    with Requester(broker.port) as requester:
        for bad in (3, BATCHES - 1):
            for _ in range(5):
                assert fetch_once(requester, "clicks", bad).error_code == CORRUPT_MESSAGE
            error_code, values = fetch_once(requester, "clicks", bad - 1)
            assert (error_code, values) == (NONE, {bad - 1: expected[bad - 1]})
        assert fetch_once(requester, "clicks", 4).values[4] == expected[4]
        assert fetch_all(requester, "views") == others
        assert produce(requester, "clicks", b"more") == (NONE, BATCHES)
        assert fetch_all(requester, "clicks", start=BATCHES) == {BATCHES: b"more"}
    reports = re.findall(r".*the CRC of a batch does not match.*", broker.log.read_text())
    assert len(reports) == 2, reports
    assert "clicks-0/00000000000000000000.log is corrupt at byte" in reports[0]
    assert "offsets 3 to 3 are not served" in reports[0]


def test_changed_byte_behind_the_recovery_point_stops_that_partition_alone(
    broker: BrokerProcess,
) -> None:
    """After a kill; the file and the byte are named, and the restored file serves again."""
    with Requester(broker.port) as requester:
        expected = fill(requester, "clicks")
        others = fill(requester, "views")
    stop(broker, is_clean=False)
    (broker.data / "recovery-point-offset-checkpoint").unlink(missing_ok=True)
    file = segments_of(broker, "clicks")[0]
    intact = file.read_bytes()
    flip_byte_of(file, b"clicks 3 ")
    broker.start()
    with Requester(broker.port) as requester:
        assert partitions_of(requester, "clicks") == {0: LEADER_NOT_AVAILABLE}
        assert fetch_once(requester, "clicks", 0).error_code == KAFKA_STORAGE_ERROR
        assert produce(requester, "clicks", b"more")[0] == KAFKA_STORAGE_ERROR
        assert fetch_all(requester, "views") == others
        assert produce(requester, "views", b"more") == (NONE, BATCHES)
    said = broker.log.read_text()
    assert re.search(r"clicks-0.*00000000000000000000\.log is corrupt at byte \d+", said), said
    stop(broker, is_clean=True)
    file.write_bytes(intact)
    broker.start()
    with Requester(broker.port) as requester:
        assert fetch_all(requester, "clicks") == expected
        assert fetch_all(requester, "views") == {**others, BATCHES: b"more"}


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def remove(path: Path) -> None:
    path.unlink()


def scribble(path: Path) -> None:
    """Junk of the same length that is neither text nor numbers in order."""
    size_bytes = max(path.stat().st_size, 24)
    path.write_bytes((b"\xde\xad\x00\xff\x80junk\n" * (size_bytes // 10 + 1))[:size_bytes])


# Kind of file -> what is damaged in the folder of the topic with that name.
PARTITION_FILES = {
    "index": "*.index",
    "timeindex": "*.timeindex",
    "snapshot": "*.snapshot",
    "epochs": "leader-epoch-checkpoint",
    "metadata": "partition.metadata",
}
CHECKPOINTS = (
    "recovery-point-offset-checkpoint",
    "replication-offset-checkpoint",
    "log-start-offset-checkpoint",
    "cleaner-offset-checkpoint",
)


@pytest.mark.parametrize("is_clean", [True, False])
@pytest.mark.parametrize("damage", [truncate, remove, scribble])
def test_damaged_helper_files_are_rebuilt_and_no_record_is_lost(
    broker: BrokerProcess, damage: Callable[[Path], None], is_clean: bool
) -> None:
    """Indexes, snapshots, epochs and checkpoints are derived from the batches, and are again."""
    with Requester(broker.port) as requester:
        expected = {topic: fill(requester, topic) for topic in PARTITION_FILES}
    stop(broker, is_clean=is_clean)
    for topic, pattern in PARTITION_FILES.items():
        for path in (broker.data / f"{topic}-0").glob(pattern):
            damage(path)
    for name in CHECKPOINTS:
        if (broker.data / name).exists():
            damage(broker.data / name)
    for _ in range(2):
        broker.restart()
        with Requester(broker.port) as requester:
            for topic, records in expected.items():
                assert fetch_all(requester, topic) == records, topic
                last = make_batch(
                    records[BATCHES - 1] or b"",
                    producer_id=7,
                    producer_epoch=0,
                    base_sequence=BATCHES - 1,
                )
                assert produce_batch(requester, topic, last) == (NONE, BATCHES - 1), topic
                assert produce(requester, topic, b"more") == (NONE, len(records)), topic
                records[len(records)] = b"more"
