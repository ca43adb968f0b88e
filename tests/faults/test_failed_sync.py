"""A disk that fails to sync: nothing is acknowledged that was not earned, and never by a retry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.faulty_disk import FaultyDisk
from tests.support.requests import Requester
from tests.support.stored_records import (
    create_topic,
    fetch_all,
    fetch_once,
    partitions_of,
    produce,
)

NONE, LEADER_NOT_AVAILABLE, KAFKA_STORAGE_ERROR = 0, 5, 56
SYNCED = {"flush.messages": "1"}


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    return FaultyDisk(tmp_path / "disk")


@pytest.fixture
def broker(tmp_path: Path, disk: FaultyDisk) -> Iterator[BrokerProcess]:
    folders = f"{tmp_path / 'data'},{tmp_path / 'second'}"
    with BrokerProcess(
        tmp_path, environment=disk.environment, config={"log.dirs": folders}
    ) as process:
        yield process


def topics_in(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix("-0") for path in folder.glob("topic*-0"))


def make_topics(requester: Requester, configs: dict[str, str]) -> None:
    for number in range(4):
        assert create_topic(requester, f"topic{number}", configs=configs)[0] == NONE


def test_failed_sync_takes_its_log_dir_offline_and_leaves_the_others(
    broker: BrokerProcess, disk: FaultyDisk, tmp_path: Path
) -> None:
    """With flush.messages=1; a restart recovers the records, and only then are they served."""
    second = tmp_path / "second"
    with Requester(broker.port) as requester:
        make_topics(requester, SYNCED)
        sick, healthy = topics_in(second), topics_in(broker.data)
        assert len(sick) == len(healthy) == 2
        for topic in sick + healthy:
            assert produce(requester, topic, b"before") == (NONE, 0)
        disk.fails_to_sync(second)
        assert produce(requester, sick[0], b"unsynced")[0] == KAFKA_STORAGE_ERROR
        disk.works()
        # No second fsync may say that all is well: refused until the next start.
        assert produce(requester, sick[0], b"again")[0] == KAFKA_STORAGE_ERROR
        assert produce(requester, sick[1], b"neighbour")[0] == KAFKA_STORAGE_ERROR
        assert fetch_once(requester, sick[0], 0).error_code == KAFKA_STORAGE_ERROR
        assert partitions_of(requester, sick[0]) == {0: LEADER_NOT_AVAILABLE}
        for topic in healthy:
            assert produce(requester, topic, b"after") == (NONE, 1)
            assert fetch_all(requester, topic) == {0: b"before", 1: b"after"}
        assert create_topic(requester, "new", 3, SYNCED)[0] == NONE
        assert partitions_of(requester, "new") == dict.fromkeys(range(3), NONE)
        assert not list(second.glob("new-*"))
    said = broker.log.read_text()
    assert f"{second} goes offline until the next start" in said, said
    broker.restart()
    with Requester(broker.port) as requester:
        for topic in sick:
            found = fetch_all(requester, topic)
            assert found[0] == b"before"
            assert set(found.values()) <= {b"before", b"unsynced"}
            assert produce(requester, topic, b"more") == (NONE, len(found))
        for topic in healthy:
            assert fetch_all(requester, topic) == {0: b"before", 1: b"after"}


def test_failed_sync_of_the_journal_refuses_topics_until_the_next_start(
    broker: BrokerProcess, disk: FaultyDisk
) -> None:
    with Requester(broker.port) as requester:
        make_topics(requester, {})
        disk.fails_to_sync(broker.data / "__headrace_raft")
        assert create_topic(requester, "new")[0] == KAFKA_STORAGE_ERROR
        disk.works()
        error_code, message = create_topic(requester, "new")
        assert error_code == KAFKA_STORAGE_ERROR
        assert "restart the broker" in str(message)
        assert partitions_of(requester, "new") == {}
        # Records need no decision of the cluster.
        for topic in topics_in(broker.data):
            assert produce(requester, topic, b"one") == (NONE, 0)
            assert fetch_all(requester, topic) == {0: b"one"}
    broker.restart()
    with Requester(broker.port) as requester:
        created = partitions_of(requester, "new")
        assert created in ({}, {0: NONE})  # it may have been written: nobody was told
        if not created:
            assert create_topic(requester, "new")[0] == NONE
        assert produce(requester, "new", b"one") == (NONE, 0)


def test_disk_remounted_read_only_ends_appends_with_an_error(
    broker: BrokerProcess, disk: FaultyDisk, tmp_path: Path
) -> None:
    """What Linux does with a file system that has failed: errors, and the other folder goes on."""
    second = tmp_path / "second"
    with Requester(broker.port) as requester:
        make_topics(requester, {"segment.bytes": str(1 << 20)})
        sick, healthy = topics_in(second), topics_in(broker.data)
        assert produce(requester, sick[0], b"before") == (NONE, 0)
        disk.is_read_only(second)
        big = b"x" * 900_000
        assert KAFKA_STORAGE_ERROR in [produce(requester, sick[0], big)[0] for _ in range(3)]
        assert produce(requester, healthy[0], big) == (NONE, 0)
        disk.works()
    broker.restart()
    with Requester(broker.port) as requester:
        found = fetch_all(requester, sick[0])
        assert found[0] == b"before"
        assert produce(requester, sick[0], b"more") == (NONE, len(found))
