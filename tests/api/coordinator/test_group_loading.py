"""A partition of __consumer_offsets that a broker begins to lead: served once it is committed."""

import pytest

from headrace.api.coordinator import group_table
from headrace.api.coordinator.errors import CoordinatorLoadInProgressError, NotCoordinatorError
from headrace.api.coordinator.group_settings import GroupSettings
from headrace.raft.errors import NotEnoughReplicasError, NotLeaderOrFollowerError
from tests.api.coordinator.test_group_coordinator import Stage


def test_groups_answer_that_they_are_loading_until_they_are_read() -> None:
    settings = GroupSettings(group_initial_rebalance_delay_ms=0, offsets_load_buffer_size=1)
    stage = Stage(settings=settings)
    for number in range(3):
        stage.commit("g", number)
    stage.start()
    with pytest.raises(CoordinatorLoadInProgressError):
        stage.groups.fetch_offsets("g")
    with pytest.raises(CoordinatorLoadInProgressError):
        stage.commit("g")
    assert stage.groups.is_loading
    stage.scheduler.advance(0)
    assert stage.offset("g") == 2
    assert not stage.groups.is_loading


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
        patched.setattr(group_table, "read_record", fail)
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
