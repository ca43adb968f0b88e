"""Whom a leader counts while it does not know what was decided."""

from dataclasses import replace
from pathlib import Path

from headrace.raft.partition_state import Outcome
from tests.support.replica_stage import ReplicaStage


def test_a_try_that_came_too_late_may_have_come_after_one_that_was_decided(tmp_path: Path) -> None:
    stage = ReplicaStage(tmp_path, (1, 2))
    group, leader = stage.group, stage.brokers[1].partition
    group.state = replace(group.state, isr=((1, 10),))
    leader.state_changed()
    stage.append(1, "a")
    assert leader.high_watermark == 1, "it is alone in the isr"
    group.is_held = True
    stage.fetch(2)
    stage.fetch(2)
    ((asked, on_done),) = group.waiting
    assert asked.isr == ((1, 10), (2, 20))
    # The first try was decided, its answer was lost; the second one came too late.
    on_done(Outcome.STALE_PARTITION_EPOCH)
    stage.append(1, "b")
    assert leader.high_watermark == 1, "broker 2 is in the isr, and this leader is to hear so yet"
    group.decide(asked)
    assert leader.high_watermark == 1
    stage.fetch(2)
    stage.fetch(2)
    assert leader.high_watermark == 2
    stage.close()
