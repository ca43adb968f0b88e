"""Three brokers under load while each kind of fault strikes: the part of the plan that CI does.

`python -m tests.chaos --release` does the rest.
"""

from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.report import report_lines
from tests.chaos.run import run_chaos
from tests.support.history_checks import in_words

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(900)]

PROCESS_FAULTS = [
    *["kill-leader"] * 4,
    *["kill-any"] * 2,
    "kill-all",
    *["stop-cleanly"] * 2,
    *["pause-leader"] * 2,
]
NETWORK_FAULTS = [
    "isolate-leader",
    "one-way",
    "deaf",
    "isolate-follower",
    "bridge",
    "isolate-from-all",
    *["tear-links"] * 2,
]


@pytest.mark.parametrize(
    ("faults", "seed"), [(PROCESS_FAULTS, 31), (NETWORK_FAULTS, 32)], ids=["processes", "network"]
)
def test_nothing_acknowledged_is_lost_repeated_or_reordered(
    tmp_path: Path, faults: list[str], seed: int
) -> None:
    result = run_chaos(tmp_path, faults, seed=seed, say=print)
    print("\n".join(report_lines([result])))
    assert not result.violations, in_words(result.violations)
    assert len(result.rounds) == len(faults)
    assert result.acknowledged_count > 1_000
    assert result.seen_count > 1_000


def test_every_fault_is_done_in_ci() -> None:
    assert set(FAULTS) == {*PROCESS_FAULTS, *NETWORK_FAULTS}
