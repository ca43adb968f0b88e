"""300 histories of Raft groups, and what the checker says when one rule is missing.

A failing seed is printed with the command that replays it; more seeds: python -m tests.simulation.
"""

from typing import Any

import pytest

from tests.simulation import broken_rules
from tests.simulation.raft_simulation import InvariantViolated, RaftSimulation, run_raft_history

SEEDS = 300
BLOCKS = 6


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_invariant_holds_in_every_history(block: int) -> None:
    size = SEEDS // BLOCKS
    for seed in range(block * size, (block + 1) * size):
        try:
            run_raft_history(seed)
        except AssertionError as violation:
            again = f"python -m tests.simulation --only raft --seed {seed}"
            raise AssertionError(f"{violation}\nagain: {again}") from violation


def violations(group_class: type[Any], seeds: range) -> set[str]:
    """Names of the invariants that these histories break; an assertion of the group counts."""
    found = set()
    for seed in seeds:
        try:
            RaftSimulation(seed, group_class=group_class).run_history()
        except InvariantViolated as violation:
            found.add(str(violation).partition(":")[0])
        except AssertionError:
            found.add("assertion")
    return found


@pytest.mark.parametrize(
    ("group_class", "seeds", "invariant"),
    [
        (broken_rules.CommitsUnverified, range(0, 10), "StateMachineSafety"),
        (broken_rules.TruncatesAgain, range(16, 20), "DurableAcknowledgement"),
        (broken_rules.VotesForAnybody, range(10, 20), "LeaderCompleteness"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_checker_sees_that_a_rule_is_missing(
    group_class: type[Any], seeds: range, invariant: str
) -> None:
    assert invariant in violations(group_class, seeds)
