"""60 histories of brokers that come back to a replaced leader, and what is seen without a rule.

python -m tests.simulation --only forgetful --seeds 10000    seeds 0 to 9999
python -m tests.simulation --only forgetful --seed 4711      one of them again
"""

from collections import Counter
from typing import Any

import pytest

from headrace.raft.followers import Followers
from tests.simulation.forgetful_restarts import run_forgetful_history
from tests.simulation.invariant_broken import InvariantBrokenError
from tests.simulation.whole_broker import WholeBroker

SEEDS = 60
CANARY_SEEDS = 100
LOST = {"IsrMembersHoldCommitted", "AcknowledgedIsSynced"}
"""Who is in sync lacks what two others took for committed, or acknowledged."""


def test_every_invariant_holds_where_who_returns_meets_a_replaced_leader() -> None:
    counts: Counter[str] = Counter()
    for seed in range(SEEDS):
        try:
            counts += run_forgetful_history(seed)
        except Exception as violation:
            again = f"python -m tests.simulation --only forgetful --seed {seed}"
            raise AssertionError(f"{violation!r}\nagain: {again}") from violation
    for what in ("killed, meets a replaced leader", "stopped, meets a replaced leader"):
        assert counts[what] > SEEDS // 4, counts
    assert counts["acknowledged"] > SEEDS, counts


def first_violation() -> str:
    """The invariant that one of the first histories breaks."""
    for seed in range(CANARY_SEEDS):
        try:
            run_forgetful_history(seed)
        except InvariantBrokenError as violation:
            return violation.name
    return ""


def end_in_any_life(self: Any, leader_end: int) -> int:
    return min([leader_end, *(follower.log_end_offset for follower, _ in self._counted)])


RULES: dict[str, tuple[Any, str, Any]] = {
    "a clean stop keeps what was applied": (
        WholeBroker,
        "_decisions_are_kept",
        lambda self: True,
    ),
    "a follower that restarted counts for nobody": (
        Followers,
        "smallest_end",
        end_in_any_life,
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_checker_sees_that_a_rule_is_missing(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*RULES[rule])
    assert first_violation() in LOST
