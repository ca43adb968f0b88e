"""A start with one of two log.dirs unreadable: nothing that may be there begins anew elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.workload import read_all
from tests.faults.test_failed_log_dir_in_a_cluster import (
    KAFKA_STORAGE_ERROR,
    NONE,
    PARTITIONS,
    pick,
)
from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import wait_until
from tests.support.refused_start import refused_start
from tests.support.requests import Requester
from tests.support.stored_records import (
    create_topic,
    delete_topic,
    fetch_all,
    fetch_once,
    partitions_of,
    produce,
)
from tests.support.two_folders import TOPIC, Load, TwoFolders

LEADER_NOT_AVAILABLE = 5


@contextmanager
def missing(folder: Path) -> Iterator[None]:
    """What is at its place can be no folder; it is back with the end of the block."""
    away = folder.with_name(f"{folder.name}-away")
    folder.rename(away)
    folder.write_text("in the way")
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    folders = f"{tmp_path / 'data'},{tmp_path / 'second'}"
    with BrokerProcess(tmp_path, config={"log.dirs": folders}) as process:
        yield process


def test_topics_of_a_missing_folder_are_offline_and_not_empty(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    topics = [f"topic{number}" for number in range(6)]
    with Requester(broker.port) as requester:
        for topic in topics:
            assert create_topic(requester, topic)[0] == NONE
            assert produce(requester, topic, topic.encode()) == (NONE, 0)
    lost = [topic for topic in topics if (second / f"{topic}-0").exists()]
    kept = [topic for topic in topics if topic not in lost]
    assert (len(lost), len(kept)) == (3, 3)
    assert broker.terminate() == 0
    deleted, renewed = lost.pop(), lost.pop()
    with missing(second):
        broker.start()
        with Requester(broker.port) as requester:
            for topic in lost:
                assert partitions_of(requester, topic) == {0: LEADER_NOT_AVAILABLE}
                assert produce(requester, topic, b"no")[0] == KAFKA_STORAGE_ERROR
                assert fetch_once(requester, topic, 0).error_code == KAFKA_STORAGE_ERROR
            for topic in kept:
                assert produce(requester, topic, b"more") == (NONE, 1)
            assert create_topic(requester, "new")[0] == NONE
            assert produce(requester, "new", b"one") == (NONE, 0)
            for topic in (deleted, renewed):
                assert delete_topic(requester, topic) == NONE
            assert create_topic(requester, renewed)[0] == NONE
            assert produce(requester, renewed, b"anew") == (NONE, 0)
        assert broker.terminate() == 0
        assert not [folder for folder in broker.data.glob("topic*-0") if folder.name[:-2] in lost]
    broker.start()
    with Requester(broker.port) as requester:
        for topic in lost:
            assert fetch_all(requester, topic) == {0: topic.encode()}
            assert produce(requester, topic, b"more") == (NONE, 1)
        for topic in kept:
            assert fetch_all(requester, topic) == {0: topic.encode(), 1: b"more"}
        assert fetch_all(requester, "new") == {0: b"one"}
        assert partitions_of(requester, deleted) == {}
        assert fetch_all(requester, renewed) == {0: b"anew"}


def test_broker_whose_journal_is_in_the_missing_folder_does_not_start(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """Without it this would be another broker, that knows no topic."""
    with Requester(broker.port) as requester:
        for number in range(4):
            assert create_topic(requester, f"topic{number}")[0] == NONE
    assert broker.terminate() == 0
    with missing(broker.data):
        said = refused_start(tmp_path, f"{broker.data},{tmp_path / 'second'}")
        assert "decisions may be there" in said, said
        assert str(broker.data) in said
    broker.start()
    with Requester(broker.port) as requester:
        assert partitions_of(requester, "topic3") == {0: NONE}


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [False, True])
def test_broker_of_a_cluster_starts_without_a_folder_and_catches_up_with_it(
    tmp_path: Path, is_killed: bool
) -> None:
    with TwoFolders(tmp_path) as cluster:
        cluster.create_topic(TOPIC, partitions=PARTITIONS)
        away, index = pick(cluster, leads=True)
        load = Load(cluster, index)
        load.send()
        load.settle()
        lost = {each for each in range(PARTITIONS) if cluster.holds(away, each)}
        if is_killed:
            cluster.kill(away)
        else:
            assert cluster.stop(away) == 0
        with missing(cluster.second(away)):
            cluster.start([away])
            cluster.wait_formed()

            def serves_the_rest() -> bool:
                return all(
                    part["leader_id"] >= 0
                    and (away in part["isr_nodes"]) is (part["partition_index"] not in lost)
                    and part["offline_replicas"]
                    == ([away] if part["partition_index"] in lost else [])
                    for row in cluster.rows()
                    for part in row
                )

            wait_until(serves_the_rest, f"broker {away} is in sync but for {lost}")
            data = cluster.brokers[away].data
            assert not [each for each in lost if (data / f"{TOPIC}-{each}").exists()]
            load.send()
            load.settle()
            cluster.create_topic("new", partitions=2)
            cluster.produce("new", b"one")
            assert cluster.stop(away) == 0
        cluster.start([away])
        cluster.wait_in_sync([TOPIC, "new"])
        assert all(part["offline_replicas"] == [] for row in cluster.rows() for part in row)
        load.send()
        load.settle()
        assert read_all(cluster.bootstrap, ("new", 0)) == {0: b"one"}
