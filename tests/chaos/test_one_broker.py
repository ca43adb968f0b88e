"""The harness itself, on the smallest cluster: a broker alone that is killed and stopped."""

from pathlib import Path

import pytest

from tests.chaos.report import report_lines
from tests.chaos.run import run_chaos
from tests.support.history_checks import in_words


@pytest.mark.interop
@pytest.mark.slow
def test_a_lone_broker_keeps_its_promises_when_killed_stopped_paused_and_torn(
    tmp_path: Path,
) -> None:
    faults = ["kill-all", "stop-cleanly", "pause-leader", "tear-links", "kill-all"]
    result = run_chaos(tmp_path, faults, seed=5, count=1)
    assert not result.violations, in_words(result.violations)
    assert result.acknowledged_count > 100
    assert result.seen_count > 100
    assert len(result.rounds) == len(faults)
    assert "nothing lost in 5 faults" in report_lines([result])[-1]
