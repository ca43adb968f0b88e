"""Replication under faults, seed by seed; and whether the checker would see a missing rule.

python -m tests.simulation --only replication --seeds 10000    seeds 0 to 9999
python -m tests.simulation --only replication --seed 161       one seed, to look at
"""

from typing import Any

import pytest

from headrace.raft import followers, partition
from tests.simulation import replication_cluster
from tests.simulation.replication_simulation import run_history

SEEDS = 300
CHUNK = 20
CANARY_SEEDS = 150


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_an_invariant(first: int) -> None:
    histories = [run_history(seed) for seed in range(first, first + CHUNK)]
    assert sum(len(history.invariants.committed) for history in histories) > 10 * CHUNK
    assert sum(history.cluster.newest_state.leader_epoch for history in histories) > 0


def breaks_within(count: int) -> bool:
    """Whether one of so many seeds breaks an invariant."""
    for seed in range(count):
        try:
            run_history(seed)
        except AssertionError:
            return True
    return False


def committed_isr_only(isr: Any, pending: Any) -> frozenset[Any]:
    return frozenset(isr)


def leader_alone(self: Any, leader_end: int) -> int:
    return leader_end


def nothing_diverges(*_: Any, **__: Any) -> None:
    return None


def anybody_may_join(**_: Any) -> bool:
    return True


def any_life_leads(self: Any) -> bool:
    return True


RULES = {
    "who asks to join counts at once": (followers, "maximal_isr", committed_isr_only),
    "the slowest of the isr sets the high watermark": (
        followers.Followers,
        "smallest_end",
        leader_alone,
    ),
    "logs are cut where they part": (partition, "find_divergence", nothing_diverges),
    "only who holds all that is committed joins": (followers, "may_join_isr", anybody_may_join),
    "a leader leads in the life it was elected in": (
        replication_cluster.LoopGroup,
        "may_lead",
        property(any_life_leads),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_checker_sees_that_a_rule_is_missing(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, name, without = RULES[rule]
    monkeypatch.setattr(target, name, without)
    assert breaks_within(CANARY_SEEDS), rule


def test_the_checker_sees_a_lost_tail_that_nobody_was_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A broker that lost records and comes back as the same incarnation."""

    def restart(self: Any, broker_id: int) -> None:
        self.raft.restart(broker_id)
        self.brokers[broker_id].start()

    monkeypatch.setattr(replication_cluster.ReplicationCluster, "restart", restart)
    assert breaks_within(CANARY_SEEDS)
