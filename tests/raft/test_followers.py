"""Whom a leader counts while it does not know what was decided."""

from dataclasses import replace
from pathlib import Path

from headrace.core.log_config import LogConfig
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


def test_a_leader_whose_followers_have_all_looks_at_their_ends_only(tmp_path: Path) -> None:
    stage = ReplicaStage(tmp_path)
    leader = stage.brokers[1].partition
    stage.append(1, "a")
    for follower in (2, 3, 2, 3):
        stage.fetch(follower)
    asked: list[int] = []
    assert leader._followers is not None
    incarnation_of = leader._followers._incarnation_of

    def count(broker_id: int) -> int | None:
        asked.append(broker_id)
        return incarnation_of(broker_id)

    leader._followers._incarnation_of = count
    leader.review_isr(stage.clock.monotonic_ms())
    assert asked == [2, 3]
    for _ in range(10):
        stage.clock.advance(1000)
        leader.review_isr(stage.clock.monotonic_ms(), 5000, may_peers_differ=False)
    assert asked == [2, 3], "nobody came or went, and nothing was appended"
    # Whoever had all until now may lag for as long as anybody.
    stage.append(1, "b")
    stage.fetch(3)
    stage.fetch(3)
    leader.review_isr(stage.clock.monotonic_ms() + 5000, 5000, may_peers_differ=False)
    assert [broker_id for broker_id, _ in stage.group.state.isr] == [1, 2, 3]
    leader.review_isr(stage.clock.monotonic_ms() + 5001, 5000, may_peers_differ=False)
    assert [broker_id for broker_id, _ in stage.group.state.isr] == [1, 3]
    stage.close()


def test_who_goes_while_all_have_all_is_asked_out_at_once(tmp_path: Path) -> None:
    stage = ReplicaStage(tmp_path)
    leader = stage.brokers[1].partition
    for follower in (2, 3):
        stage.fetch(follower)
    for _ in range(2):
        leader.review_isr(stage.clock.monotonic_ms(), may_peers_differ=False)
    stage.brokers[2].kill()
    leader.review_isr(stage.clock.monotonic_ms())
    assert [broker_id for broker_id, _ in stage.group.state.isr] == [1, 3]
    stage.close()


def test_who_is_gone_is_eligible_to_lead_and_who_restarted_is_not(tmp_path: Path) -> None:
    stage = ReplicaStage(tmp_path, config=LogConfig(min_insync_replicas=2))
    leader = stage.brokers[1].partition
    stage.brokers[2].kill()
    stage.brokers[3].incarnation += 1
    leader.review_isr(stage.clock.monotonic_ms())
    assert stage.group.state.isr == ((1, 10),)
    assert stage.group.state.elr == ((2, 20),)
    stage.close()
