"""`Deadlines`: waits that end at a time at the latest, and nearly always before it.

A timer of the loop's own for each would be made and closed with every request, and uvloop needs
one more look at its sockets to close one.  Here all that wait equally long share a timer.  They
stand in the order in which they came, which is that in which they are due.
"""

import asyncio
from typing import Protocol

RESOLUTION_S = 0.0005
"""Who is due this much later is due now: uvloop counts whole milliseconds."""
MAX_IDLE_ROWS = 64
"""Lengths of waiting that are remembered though nobody waits so long."""


class Expiring(Protocol):
    """What waits."""

    def expire(self) -> None:
        """The time is over; called from the loop, after a `discard` too if that came as late."""
        ...


class _Row:
    """All that wait equally long, and when each is due."""

    __slots__ = ("due_s", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.due_s: dict[Expiring, float] = {}
        self.timer = timer


class Deadlines:
    """The deadlines of one broker's requests, on `loop`.  Loop thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._rows: dict[int, _Row] = {}
        self._sweep_at = MAX_IDLE_ROWS

    def __len__(self) -> int:
        return sum(len(row.due_s) for row in self._rows.values())

    def add(self, waiting: Expiring, wait_ms: int) -> None:
        """Have it expire after `wait_ms`."""
        due_s = self.loop.time() + wait_ms / 1000
        row = self._rows.get(wait_ms)
        if row is None:
            row = self._begin_row(wait_ms, due_s)
        row.due_s[waiting] = due_s

    def discard(self, waiting: Expiring, wait_ms: int) -> None:
        """It waits no more; harmless if it has expired."""
        row = self._rows.get(wait_ms)
        if row is not None:
            row.due_s.pop(waiting, None)

    def close(self) -> None:
        """Nothing expires any more."""
        for row in self._rows.values():
            row.timer.cancel()
        self._rows.clear()

    def _begin_row(self, wait_ms: int, due_s: float) -> _Row:
        if len(self._rows) >= self._sweep_at:
            self._sweep()
        timer = self.loop.call_at(due_s, self._take_due, wait_ms)
        row = self._rows[wait_ms] = _Row(timer)
        return row

    def _sweep(self) -> None:
        """Forget the lengths that nobody waits: clients choose them, and timers may be long."""
        for wait_ms in [each for each, row in self._rows.items() if not row.due_s]:
            self._rows.pop(wait_ms).timer.cancel()
        self._sweep_at = max(MAX_IDLE_ROWS, 2 * len(self._rows))

    def _take_due(self, wait_ms: int) -> None:
        row = self._rows[wait_ms]
        now_s = self.loop.time() + RESOLUTION_S
        due = []
        for waiting, due_s in row.due_s.items():
            if due_s > now_s:
                row.timer = self.loop.call_at(due_s, self._take_due, wait_ms)
                break
            due.append(waiting)
        else:
            del self._rows[wait_ms]
        for waiting in due:
            del row.due_s[waiting]
            self.loop.call_soon(waiting.expire)  # a call each: none stands in another's way
