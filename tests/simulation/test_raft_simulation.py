"""300 histories of Raft groups, and what the checker says when one rule is missing.

A failing seed is printed with the command that replays it; more seeds: python -m tests.simulation.
"""

from typing import Any

import pytest

from tests.simulation import broken_rules
from tests.simulation.early_leaders import EarlyLeaders, RepliesAtOnce
from tests.simulation.raft_simulation import (
    InvariantViolated,
    RaftSimulation,
    SmallGroup,
    run_raft_history,
)
from tests.simulation.restless_leaders import RestlessLeaders
from tests.support.raft_cluster import RaftCluster

SEEDS = 300
BLOCKS = 6
CANARY_SEEDS = range(120)
RESTLESS_SEEDS = range(60)
RARE_RESTLESS_SEEDS = range(160, 220)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_invariant_holds_in_every_history(block: int) -> None:
    size = SEEDS // BLOCKS
    for seed in range(block * size, (block + 1) * size):
        try:
            run_raft_history(seed)
        except AssertionError as violation:
            again = f"python -m tests.simulation --only raft --seed {seed}"
            raise AssertionError(f"{violation}\nagain: {again}") from violation


def has_violation(
    group_class: type[Any],
    invariant: str,
    *,
    kind: type[RaftSimulation] = RaftSimulation,
    seeds: range = CANARY_SEEDS,
) -> bool:
    """Whether one of the histories breaks the invariant; others may break another one."""
    for seed in seeds:
        try:
            kind(seed, group_class=group_class).run_history()
        except InvariantViolated as violation:
            if str(violation).startswith(invariant):
                return True
        except AssertionError:
            continue  # the group noticed it itself, before it did harm
    return False


@pytest.mark.parametrize(
    ("group_class", "invariant"),
    [
        (broken_rules.CommitsUnverified, "StateMachineSafety"),
        (broken_rules.TruncatesAgain, "DurableAcknowledgement"),
        (broken_rules.VotesForAnybody, "LeaderCompleteness"),
        (broken_rules.SleepsThroughQuestions, "Liveness"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_checker_sees_that_a_rule_is_missing(group_class: type[Any], invariant: str) -> None:
    assert has_violation(group_class, invariant)


@pytest.mark.parametrize("kind", [RestlessLeaders, EarlyLeaders])
def test_every_invariant_holds_where_leaders_die_between_writing_and_sending(
    kind: type[RaftSimulation],
) -> None:
    for seed in RESTLESS_SEEDS:
        kind(seed).run_history()


def test_the_checker_sees_acknowledgements_that_leave_before_the_disk_has_the_entries() -> None:
    assert has_violation(SmallGroup, "DurableAcknowledgement", kind=RepliesAtOnce)


def test_the_checker_sees_by_chance_that_old_terms_are_committed_by_counting() -> None:
    assert has_violation(
        broken_rules.CommitsOldTerms,
        "LeaderCompleteness",
        kind=RestlessLeaders,
        seeds=RARE_RESTLESS_SEEDS,
    )


@pytest.mark.parametrize("group_class", [SmallGroup, broken_rules.AsksNobody])
def test_only_without_pre_vote_does_a_half_deaf_voter_depose_a_leader(
    group_class: type[Any],
) -> None:
    cluster = RaftCluster(is_started=False)
    cluster.group_class = group_class
    for member in cluster.members.values():
        member.start()
    cluster.heal()
    leader = cluster.elect()
    deaf = next(b for b in cluster.voters if b != leader)
    term = cluster.group(leader).term
    cluster.unlink(leader, deaf)
    cluster.run(5.0)
    is_steady = cluster.leaders() == [leader] and cluster.group(leader).term == term
    assert is_steady == (group_class is SmallGroup)
