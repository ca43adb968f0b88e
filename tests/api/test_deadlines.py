"""Deadlines on a loop whose time the test moves."""

from collections.abc import Callable
from typing import Any, cast

from headrace.api.deadlines import MAX_IDLE_ROWS, Deadlines

MINUTE_MS = 60_000


class Timer:
    def __init__(self, loop: "ManualLoop", due_s: float, call: Callable[[], object]) -> None:
        self._loop = loop
        self.due_s, self.call = due_s, call

    def cancel(self) -> None:
        self._loop.timers.remove(self)


class ManualLoop:
    """As much of a loop as deadlines ask for."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.timers: list[Timer] = []
        self._soon: list[Callable[[], object]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, due_s: float, call: Callable[..., object], *arguments: Any) -> Timer:
        timer = Timer(self, due_s, lambda: call(*arguments))
        self.timers.append(timer)
        return timer

    def call_soon(self, call: Callable[[], object]) -> None:
        self._soon.append(call)

    def advance(self, seconds: float) -> None:
        """Call whatever is due until then."""
        end_s = self.now_s + seconds
        while due := [timer for timer in self.timers if timer.due_s <= end_s]:
            first = min(due, key=lambda timer: timer.due_s)
            self.timers.remove(first)
            self.now_s = max(self.now_s, first.due_s)
            first.call()
            soon, self._soon = self._soon, []
            for call in soon:
                call()
        self.now_s = end_s


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
