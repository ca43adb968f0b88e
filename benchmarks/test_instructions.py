"""Does any core loop take more instructions than the table says it should?

After a change that means to: `python -m benchmarks.instructions --update`, and say so in the
commit.
"""

import os
import warnings

import pytest

from benchmarks.instructions import Counts, count_instructions, grown, read_table
from benchmarks.peers.install import PeerUnavailableError

# A table this far above the counts has no say any more.
STALE_BELOW = 0.8


@pytest.fixture(scope="module")
def counts() -> Counts:
    if os.environ.get("HEADRACE_DEBUG") == "1":
        pytest.skip("a debug build takes other instructions")
    try:
        return count_instructions()
    except PeerUnavailableError as error:
        pytest.skip(str(error))


def test_no_loop_takes_more_instructions_than_the_table_says(counts: Counts) -> None:
    table = read_table()
    if counts.environment != table.environment:
        pytest.skip(f"the table belongs to {table.environment}, this is {counts.environment}")
    changes = grown(counts, table)
    assert not changes, "\n".join([*changes, __doc__])
    cheaper = [
        f"{name}: {table.instructions[name]} -> {now}"
        for name, now in counts.instructions.items()
        if now < STALE_BELOW * table.instructions[name]
    ]
    if cheaper:
        warnings.warn(f"update the table of instructions: {'; '.join(cheaper)}", stacklevel=1)


def test_cost_of_a_record_does_not_hold_a_call_of_python(counts: Counts) -> None:
    """Even where the table belongs to another machine: a call of Python takes hundreds."""
    for name in ("validate, batch of 1000, record", "append, batch of 1000, record"):
        assert counts.instructions[name] < 1000, name


def test_a_loop_that_grew_or_is_new_is_named() -> None:
    table = Counts({}, {"a": 100.0, "b": 100.0, "produce request": 100.0, "gone": 1.0})
    counts = Counts({}, {"a": 104.0, "b": 106.0, "produce request": 107.0, "new": 1.0})
    assert grown(counts, table) == [
        "b: 100.0 -> 106.0 (+6.0%)",
        "gone: 1.0 in the table, None counted",
        "new: None in the table, 1.0 counted",
    ]
