"""A folder of Kafka's fills the cluster's state; what cannot be kept is named."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.takeover import take_over
from headrace.api.takeover.metadata_log import METADATA_FOLDER
from headrace.core.kafka_uuid import ZERO_UUID
from headrace.core.log_config import LogConfig
from headrace.raft.cluster_commands import Command
from headrace.raft.cluster_state import ClusterState
from headrace.raft.errors import ClusterStateError
from tests.support.kafka_folder import NODE_ID, unpack_kafka_folder
from tests.support.manual_clock import ManualClock

CLICKS_ID = bytes.fromhex("3f36fadd4a414ea3be8f530c56ee313d")


class FakeLog:
    """A log at epoch 0 with ten records."""

    def __init__(self, topic: str, partition: int, topic_id: bytes = CLICKS_ID) -> None:
        self.topic, self.partition, self.topic_id = topic, partition, topic_id
        self.path = Path(f"{topic}-{partition}")
        self.latest_epoch = 0
        self.log_end_offset = 10
        self.producers: list[Any] = []
        self.assigned: list[tuple[int, int]] = []

    def assign_epoch(self, leader_epoch: int, start_offset: int) -> None:
        self.assigned.append((leader_epoch, start_offset))

    def active_producers(self) -> list[Any]:
        return self.producers


class Group:
    """A cluster group with one voter and no journal."""

    def __init__(self) -> None:
        self.broker_id = NODE_ID
        self.state = ClusterState()

    def propose(self, command: Command, on_done: Any) -> None:
        try:
            on_done(self.state.apply(command))
        except ClusterStateError as refusal:
            on_done(refusal)


def run(
    folder: Path, *logs: FakeLog, group: Group | None = None, offline_dirs: tuple[Path, ...] = ()
) -> ClusterState:
    group = group or Group()
    manager = SimpleNamespace(
        log_dirs=[folder], logs=lambda: list(logs), offline_logs={}, offline_dirs=offline_dirs
    )
    taken: Any = take_over
    taken(
        log_manager=manager,
        cluster_group=group,
        clock=ManualClock(),
        default_config=LogConfig(),
    )
    return group.state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return unpack_kafka_folder(tmp_path)


def test_topic_keeps_its_id_partitions_and_settings(folder: Path) -> None:
    state = run(folder, *(FakeLog("clicks", index) for index in range(3)))
    topic = state.topics["clicks"]
    assert topic.topic_id == CLICKS_ID
    assert topic.assignments == ((NODE_ID,),) * 3
    assert topic.configs == {"retention.ms": "86400000", "max.message.bytes": "2000000"}


def test_nothing_is_taken_over_while_a_folder_is_offline(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The other partitions of the topic may be there, and would start empty."""
    state = run(folder, FakeLog("clicks", 0), offline_dirs=(folder / "second",))
    assert not state.topics
    assert f"{folder / 'second'}: offline" in caplog.text
    assert "clicks" in caplog.text


def test_producer_ids_and_broker_settings_go_on_where_kafka_stopped(folder: Path) -> None:
    state = run(folder, FakeLog("clicks", 0))
    assert state.next_producer_id == 1000
    assert state.broker_configs(NODE_ID) == {"log.retention.ms": "777777"}
    assert state.broker_configs("") == {"log.retention.ms": "777777", "min.insync.replicas": "1"}


def test_leader_epoch_goes_on_above_kafkas(folder: Path) -> None:
    log = FakeLog("clicks", 0)
    run(folder, log)
    assert log.assigned == [(1, 10)]


def test_metadata_log_is_left_as_it_was(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in (folder / METADATA_FOLDER).iterdir()}
    run(folder, FakeLog("clicks", 0))
    after = {path.name: path.read_bytes() for path in (folder / METADATA_FOLDER).iterdir()}
    assert after == before


def test_what_is_not_here_or_not_known_is_named(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_transaction = FakeLog("clicks", 0)
    open_transaction.producers = [SimpleNamespace(current_txn_start_offset=4)]
    with caplog.at_level(logging.WARNING):
        state = run(folder, open_transaction, FakeLog("stray", 0, b"\7" * 16))
    assert set(state.topics) == {"clicks"}
    assert "stray-0 belongs to no topic that Kafka knew" in caplog.text
    assert "clicks-1 is not in this folder" in caplog.text
    assert "clicks-0 has a transaction open since offset 4" in caplog.text
    assert "topics without a partition in these folders" in caplog.text
    assert "grown" in caplog.text


def test_partition_with_another_topic_id_is_not_served(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = run(folder, FakeLog("clicks", 0, b"\7" * 16))
    assert "clicks" not in state.topics
    assert "belongs to no topic" in caplog.text


def test_topics_that_are_known_already_are_left_alone(folder: Path) -> None:
    group = Group()
    run(folder, FakeLog("clicks", 0), group=group)
    before = group.state.to_bytes()
    run(folder, FakeLog("clicks", 0), group=group)
    assert group.state.to_bytes() == before


def test_folders_without_metadata_are_served_with_default_settings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = run(tmp_path, FakeLog("a", 0, ZERO_UUID), FakeLog("a", 2, ZERO_UUID), FakeLog("b", 0))
    assert state.topics["a"].partition_count == 3
    assert state.topics["a"].topic_id != ZERO_UUID
    assert state.topics["b"].topic_id == CLICKS_ID
    assert "a is served with default settings" in caplog.text


def test_partitions_with_different_ids_and_no_metadata_are_not_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = run(tmp_path, FakeLog("a", 0), FakeLog("a", 1, b"\7" * 16))
    assert not state.topics
    assert "different topic ids" in caplog.text


def test_unpacked_name_that_no_topic_may_have_is_refused_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = run(tmp_path, FakeLog("a.b", 0), FakeLog("a_b", 0, b"\7" * 16))
    assert set(state.topics) == {"a.b"}
    assert "topic a_b is not taken over" in caplog.text
