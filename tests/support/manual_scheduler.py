"""Timers that fire only when a test moves the clock."""

import heapq
from collections.abc import Callable
from itertools import count

from tests.support.manual_clock import ManualClock


class ManualTimer:
    """A callback that is due at `due_ms` of the clock's steady time."""

    def __init__(self, due_ms: int, callback: Callable[[], None]) -> None:
        self.due_ms = due_ms
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualScheduler:
    """`schedule(delay_ms, callback)` over a `ManualClock`."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._order = count()
        self._timers: list[tuple[int, int, ManualTimer]] = []

    def schedule(self, delay_ms: int, callback: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(self._clock.monotonic_ms() + delay_ms, callback)
        heapq.heappush(self._timers, (timer.due_ms, next(self._order), timer))
        return timer

    def advance(self, milliseconds: int) -> None:
        """Move the clock on, stopping at every timer that falls due on the way."""
        end_ms = self._clock.monotonic_ms() + milliseconds
        while self._timers and self._timers[0][0] <= end_ms:
            due_ms, _, timer = heapq.heappop(self._timers)
            self._clock.advance(max(due_ms - self._clock.monotonic_ms(), 0))
            if not timer.is_cancelled:
                timer.callback()
        self._clock.advance(end_ms - self._clock.monotonic_ms())

    def turn(self) -> None:
        """Call what is due now, but not what is scheduled by that."""
        now_ms = self._clock.monotonic_ms()
        due = [timer for due_ms, _, timer in sorted(self._timers) if due_ms <= now_ms]
        self._timers = [each for each in self._timers if each[0] > now_ms]
        heapq.heapify(self._timers)
        for timer in due:
            if not timer.is_cancelled:
                timer.callback()

    @property
    def pending(self) -> int:
        """How many timers may still fire."""
        return sum(not timer.is_cancelled for _, _, timer in self._timers)
