"""As much of an event loop as timers ask for, on a clock that the test moves."""

from collections.abc import Callable
from typing import Any


class ManualLoopTimer:
    """A call that is due at `due_s`."""

    def __init__(self, loop: "ManualLoop", due_s: float, call: Callable[[], object]) -> None:
        self._loop = loop
        self.due_s, self.call = due_s, call

    def cancel(self) -> None:
        self._loop.timers.remove(self)


class ManualLoop:
    """Timers, and calls that are made in the next turn."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.timers: list[ManualLoopTimer] = []
        self._soon: list[Callable[[], object]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(
        self, due_s: float, call: Callable[..., object], *arguments: Any
    ) -> ManualLoopTimer:
        timer = ManualLoopTimer(self, due_s, lambda: call(*arguments))
        self.timers.append(timer)
        return timer

    def call_later(
        self, delay_s: float, call: Callable[..., object], *arguments: Any
    ) -> ManualLoopTimer:
        return self.call_at(self.now_s + delay_s, call, *arguments)

    def call_soon(self, call: Callable[[], object]) -> None:
        self._soon.append(call)

    def turn(self) -> None:
        """Make the calls that were asked for before it."""
        soon, self._soon = self._soon, []
        for call in soon:
            call()

    def advance(self, seconds: float) -> None:
        """Call whatever is due until then."""
        end_s = self.now_s + seconds
        while due := [timer for timer in self.timers if timer.due_s <= end_s]:
            first = min(due, key=lambda timer: timer.due_s)
            self.timers.remove(first)
            self.now_s = max(self.now_s, first.due_s)
            first.call()
            self.turn()
        self.now_s = end_s
