"""Plays every scenario; `pytest tests/scenarios --rewrite` writes down what was seen instead."""

from pathlib import Path

import pytest

from tests.scenarios.language import Scenario

RULE = "----"
FILES = sorted(Path(__file__).parent.glob("*.txt"))


def play(path: Path, folder: Path) -> str:
    """The text of the file as it would be if all it expects is what happens."""
    scenario = Scenario(folder)
    blocks = []
    try:
        for block in path.read_text().strip().split("\n\n"):
            lines = block.splitlines()
            end = lines.index(RULE) if RULE in lines else len(lines)
            commands = [line for line in lines[:end] if not line.startswith("#")]
            seen = scenario.run_block(commands) if commands else []
            rule = [RULE] if commands else []
            blocks.append("\n".join([*lines[:end], *rule, *seen]))
    finally:
        scenario.close()
    return "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_scenario_goes_as_it_is_told(
    path: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    seen = play(path, tmp_path)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(seen)
    assert seen == path.read_text()


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 8
