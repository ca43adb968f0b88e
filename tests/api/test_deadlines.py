"""Deadlines on a loop whose time the test moves."""

from typing import Any, cast

from headrace.api.deadlines import MAX_IDLE_ROWS, Deadlines
from tests.support.manual_loop import ManualLoop

MINUTE_MS = 60_000


class Waiting:
    """Notes when it expires."""

    def __init__(self, loop: ManualLoop) -> None:
        self._loop = loop
        self.expired_s: list[float] = []

    def expire(self) -> None:
        self.expired_s.append(self._loop.now_s)


def make() -> tuple[ManualLoop, Deadlines]:
    loop = ManualLoop()
    return loop, Deadlines(cast(Any, loop))


def test_each_expires_once_when_its_time_is_over() -> None:
    loop, deadlines = make()
    waiting = [Waiting(loop) for _ in range(4)]
    for number, wait_ms in enumerate((500, 500, 250, 500)):
        deadlines.add(waiting[number], wait_ms)
        loop.advance(0.125)
    loop.advance(10)
    expired = [each.expired_s for each in waiting]
    assert expired == [[1000.5], [1000.625], [1000.5], [1000.875]]
    assert len(deadlines) == 0
    assert loop.timers == []


def test_those_who_wait_equally_long_share_a_timer() -> None:
    loop, deadlines = make()
    for _ in range(100):
        waiting = Waiting(loop)
        deadlines.add(waiting, 500)
        deadlines.discard(waiting, 500)
    assert len(loop.timers) == 1
    loop.advance(10)
    assert loop.timers == []


def test_who_waits_no_more_does_not_expire_and_others_expire_no_sooner() -> None:
    loop, deadlines = make()
    first, second = Waiting(loop), Waiting(loop)
    deadlines.add(first, 500)
    loop.advance(0.25)
    deadlines.add(second, 500)
    deadlines.discard(first, 500)
    loop.advance(10)
    assert (first.expired_s, second.expired_s) == ([], [1000.75])


def test_lengths_that_nobody_waits_any_more_are_forgotten() -> None:
    loop, deadlines = make()
    last = Waiting(loop)
    deadlines.add(last, 10 * MINUTE_MS)
    for wait_ms in range(MINUTE_MS, MINUTE_MS + 10 * MAX_IDLE_ROWS):
        waiting = Waiting(loop)
        deadlines.add(waiting, wait_ms)
        deadlines.discard(waiting, wait_ms)
    assert len(loop.timers) <= MAX_IDLE_ROWS
    assert len(deadlines) == 1
    loop.advance(601)
    assert last.expired_s == [1600.0]


def test_nothing_expires_after_the_end() -> None:
    loop, deadlines = make()
    waiting = Waiting(loop)
    deadlines.add(waiting, 500)
    deadlines.close()
    deadlines.discard(waiting, 500)
    loop.advance(10)
    assert (waiting.expired_s, loop.timers) == ([], [])
