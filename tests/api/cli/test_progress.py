"""Progress: a line that is redrawn, or lines of their own with the rate since the last."""

import io

import pytest

from headrace.api.cli import progress
from headrace.api.cli.progress import Progress


def test_lines_come_so_often_and_tell_the_rate_since_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    told = io.StringIO()
    with Progress("produce", total=100, enabled=True, file=told, line_every_s=5) as line:
        for seconds, count in ((1, 10), (5, 40), (9, 0), (10, 10)):
            now[0] = seconds
            line.advance(count)
    first, second = told.getvalue().splitlines()
    assert first.startswith("produce 50 [##########..........] 50 %")
    assert first.endswith("10/s in the last 5.0 s")
    assert second.endswith("2/s in the last 5.0 s")


def test_nothing_is_printed_where_it_was_not_asked_for() -> None:
    told = io.StringIO()
    with Progress("sent", enabled=False, file=told, line_every_s=0.0) as line:
        line.advance(1)
    assert not told.getvalue()
