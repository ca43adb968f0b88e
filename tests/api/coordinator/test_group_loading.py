"""A partition of __consumer_offsets that a broker begins to lead: served once it is committed."""

from functools import partial
from typing import Any

import pytest

from headrace.api.coordinator import group_loading
from headrace.api.coordinator.errors import (
    CoordinatorLoadInProgressError,
    NotCoordinatorError,
    RebalanceInProgressError,
)
from headrace.api.coordinator.membership import SyncRequest
from headrace.core.batch_builder import BatchBuilder
from headrace.raft.errors import NotEnoughReplicasError, NotLeaderOrFollowerError
from tests.api.coordinator.test_group_coordinator import Stage
from tests.support.offsets_partitions import FakeReplicas

SYNC = SyncRequest(
    member_id="m",
    group_instance_id=None,
    generation_id=3,
    protocol_type=None,
    protocol_name=None,
    assignment={},
)


def test_groups_answer_that_they_are_loading_until_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_loading, "RECORDS_A_STEP", 1)
    stage = Stage()
    for number in range(3):
        stage.commit("g", number)
    stage.start()
    with pytest.raises(CoordinatorLoadInProgressError):
        stage.groups.fetch_offsets("g")
    with pytest.raises(CoordinatorLoadInProgressError):
        stage.commit("g")
    with pytest.raises(RebalanceInProgressError):
        stage.groups.sync_group("g", SYNC, lambda _: None)
    # The client is told to go on: aiokafka ends for good over any other answer.
    stage.groups.heartbeat("g", member_id="m", group_instance_id=None, generation_id=3)
    assert stage.groups.is_loading
    stage.scheduler.advance(0)
    assert stage.offset("g") == 2
    assert not stage.groups.is_loading


def test_no_turn_of_the_loop_reads_or_decodes_more_than_a_step_whatever_is_to_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_loading, "RECORDS_A_STEP", 10)
    done = {"kind_of_key": 0, "read_record": 0}

    def count(name: str, *arguments: Any) -> Any:
        done[name] += 1
        return originals[name](*arguments)

    originals = {name: getattr(group_loading, name) for name in done}
    for name in done:
        monkeypatch.setattr(group_loading, name, partial(count, name))
    stage = Stage(replicas=FakeReplicas(3))
    for number in range(300):
        stage.commit(f"g{number % 60}", number)
    stage.start()
    assert sum(done.values()) == 0
    turns = 0
    while stage.groups.is_loading:
        before = sum(done.values())
        stage.scheduler.turn()
        assert sum(done.values()) - before <= 10
        turns += 1
    assert done == {"kind_of_key": 300, "read_record": 60}  # of each key the last value counts
    assert turns >= 36
    assert [stage.offset(f"g{number}") for number in range(60)] == list(range(240, 300))


def test_a_value_of_a_version_that_is_not_known_leaves_the_offset_before_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.commit("g", 4)
    partition = stage.replicas.partitions[0]
    ((key, _),) = partition.records()
    builder = BatchBuilder()
    builder.append_record(timestamp=0, key=key, value=b"\x00\x09 of a later Kafka")
    partition.log.append_batch(bytes(builder.build()))
    stage.start()
    assert stage.offset("g") == 4
    assert "version 9 is not known" in caplog.text


def test_groups_are_loading_until_what_was_read_is_committed() -> None:
    """A leader that was cut off, and leads on for a moment, has commits that others never saw."""
    stage = Stage()
    stage.commit("g", 3)
    partition = stage.replicas.partitions[0]
    partition.is_held = True
    stage.commit("g", 4)
    stage.start()
    with pytest.raises(CoordinatorLoadInProgressError):
        stage.groups.fetch_offsets("g")
    waiting, partition.waiting = partition.waiting, []
    waiting[-1][1](NotEnoughReplicasError("below min.insync.replicas"))
    stage.scheduler.advance(100)
    assert stage.groups.is_loading
    partition.release()
    assert stage.offset("g") == 4


def test_a_partition_that_leaves_before_all_is_committed_is_somebody_elses() -> None:
    stage = Stage()
    partition = stage.replicas.partitions[0]
    partition.is_held = True
    stage.commit("g", 4)
    stage.start()
    stage.groups.on_partition_offline(partition)
    partition.release(NotLeaderOrFollowerError("another leads"))
    stage.scheduler.advance(1000)
    with pytest.raises(NotCoordinatorError):
        stage.groups.fetch_offsets("g")
    assert not stage.groups.is_loading


def test_a_partition_that_cannot_be_read_for_an_unforeseen_reason_is_not_loading_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    stage = Stage()
    stage.commit("g", 3)
    with monkeypatch.context() as patched:
        patched.setattr(group_loading, "read_record", fail)
        stage.start()
    assert not stage.groups.is_loading
    with pytest.raises(NotCoordinatorError):
        stage.groups.fetch_offsets("g")
    (said,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "__consumer_offsets-0 cannot be read: a bug" in said.getMessage()
    assert said.exc_info is not None
    stage.start()
    assert stage.offset("g") == 3


def test_a_partition_that_is_not_led_here_is_somebody_elses() -> None:
    stage = Stage()
    stage.start(load=False)
    with pytest.raises(NotCoordinatorError):
        stage.groups.fetch_offsets("g")
