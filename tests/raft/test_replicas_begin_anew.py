"""Followers whose logs begin where their leader's has ended, or whose leader's log is empty."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.raft.partition_state import ElectKind
from tests.support.replica_stage import ReplicaStage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[ReplicaStage]:
    staged = ReplicaStage(tmp_path)
    yield staged
    staged.close()


def catch_up(stage: ReplicaStage, broker_id: int) -> list[str]:
    """What fetches say until one brings nothing."""
    said: list[str] = []
    while len(said) < 10 and (not said or said[-1] != "gets nothing"):
        said.append(stage.fetch(broker_id))
    return said


@pytest.mark.parametrize("news", ["x", "xyzuvwst"])
def test_who_deleted_more_than_an_unclean_leader_ever_had_begins_anew(
    stage: ReplicaStage, news: str
) -> None:
    stage.append(1, "a", "b")
    for broker_id in (2, 3):
        catch_up(stage, broker_id)
    stage.brokers[3].kill()
    stage.alter_isr(1, 2)
    for value in "cdef":
        stage.append(1, value)
        catch_up(stage, 2)
    assert stage.brokers[1].partition.delete_records(5) == 5
    catch_up(stage, 2)
    assert stage.brokers[2].partition.log_start_offset == 5
    stage.brokers[1].kill()
    stage.brokers[2].kill()
    stage.brokers[3].start()
    stage.elect(3, ElectKind.UNCLEAN)
    for value in news:
        stage.append(3, value)
    stage.brokers[2].start()
    stage.brokers[2].log.increment_log_start_offset(5)  # as its folder's checkpoint says
    said = catch_up(stage, 2)
    assert stage.brokers[2].values() == stage.brokers[3].values() == ["a", "b", *news], said
    assert said[-1] == "gets nothing"


def test_a_leader_that_copied_nothing_is_followed_by_who_has_deleted_all(
    stage: ReplicaStage,
) -> None:
    stage.brokers[3].kill()
    shutil.rmtree(stage.brokers[3].log.path)
    stage.alter_isr(1, 2)
    stage.append(1, "a")
    catch_up(stage, 2)
    assert stage.brokers[1].partition.delete_records(-1) == 1
    catch_up(stage, 2)
    stage.brokers[3].start()
    assert catch_up(stage, 3) == ["begins at 1", "gets nothing"]
    stage.elect(3)
    assert catch_up(stage, 2) == ["gets nothing"]
    assert stage.brokers[3].partition.end_offset_for_epoch(0) == (0, 1)
    stage.append(3, "b")
    assert catch_up(stage, 2) == ["gets b", "gets nothing"]
