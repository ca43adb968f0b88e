"""Whoever waits for a partition: a producer for the high watermark, a fetch for new records.

Nothing polls.  A waiter is called once, inside the call that released it, and must neither raise
nor take long; a cancelled one is never called.
"""

import heapq
from collections.abc import Callable
from typing import Protocol

OnPassed = Callable[[BaseException | None], None]


class Waiter(Protocol):
    """A wait that its owner may give up."""

    def cancel(self) -> None:
        """Never call back; harmless after the call."""
        ...


class OffsetWaiter:
    """Waits for the high watermark to reach `offset` (exclusive bound, as the watermark itself)."""

    __slots__ = ("_waiters", "offset", "on_passed")

    def __init__(self, waiters: "OffsetWaiters", offset: int, on_passed: OnPassed) -> None:
        self._waiters = waiters
        self.offset = offset
        self.on_passed: OnPassed | None = on_passed

    def cancel(self) -> None:
        if self.on_passed is not None:
            self.on_passed = None
            self._waiters.count_cancelled()


class OffsetWaiters:
    """Waiters in the order of their offsets; those of one offset in the order they came.

    `heap` is empty where nobody waits: to ask it costs less than a call.
    """

    __slots__ = ("_cancelled_count", "_next_number", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, OffsetWaiter]] = []
        self._next_number = 0
        self._cancelled_count = 0

    def __len__(self) -> int:
        return len(self.heap) - self._cancelled_count

    def add_waiter(self, offset: int, on_passed: OnPassed) -> OffsetWaiter:
        """Call `on_passed(None)` once `release_up_to(offset)` or more was called."""
        waiter = OffsetWaiter(self, offset, on_passed)
        heapq.heappush(self.heap, (offset, self._next_number, waiter))
        self._next_number += 1
        return waiter

    def release_up_to(self, high_watermark: int) -> None:
        """Release everyone whose offset is not above `high_watermark`."""
        while self.heap and self.heap[0][0] <= high_watermark:  # a call may sweep it
            self._call(heapq.heappop(self.heap)[2], None)

    def fail_all(self, error: BaseException) -> None:
        """Release everyone with `error`."""
        while self.heap:
            self._call(heapq.heappop(self.heap)[2], error)

    def count_cancelled(self) -> None:
        """Told by a waiter; the heap is swept when most of it is cancelled."""
        self._cancelled_count += 1
        if self._cancelled_count * 2 > len(self.heap):
            self.heap = [entry for entry in self.heap if entry[2].on_passed is not None]
            heapq.heapify(self.heap)
            self._cancelled_count = 0

    def _call(self, waiter: OffsetWaiter, error: BaseException | None) -> None:
        on_passed, waiter.on_passed = waiter.on_passed, None
        if on_passed is None:
            self._cancelled_count -= 1
        else:
            on_passed(error)


class FetchWaiter:
    """Waits until its partition has more to fetch, or another state."""

    __slots__ = ("_waiters", "on_available")

    def __init__(self, waiters: "FetchWaiters", on_available: Callable[[], None]) -> None:
        self._waiters = waiters
        self.on_available = on_available

    def cancel(self) -> None:
        self._waiters.remove_waiter(self)


class FetchWaiters:
    """Fetches that wait on one partition, woken all together, in the order they came.

    `waiting` is empty where nobody waits: to ask it costs less than a call.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[FetchWaiter, None] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def add_waiter(self, on_available: Callable[[], None]) -> FetchWaiter:
        """Call `on_available()` at the next `wake_all`."""
        waiter = FetchWaiter(self, on_available)
        self.waiting[waiter] = None
        return waiter

    def remove_waiter(self, waiter: FetchWaiter) -> None:
        self.waiting.pop(waiter, None)

    def wake_all(self) -> None:
        """Release everyone; who was cancelled by another's call is left out."""
        waiting = self.waiting
        if not waiting:
            return
        released = list(waiting)
        for waiter in released:
            if waiting.pop(waiter, waiter) is None:
                waiter.on_available()
