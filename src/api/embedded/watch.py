"""How a reader waits for news of its partitions, whoever owns them."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ...raft import Partition

if TYPE_CHECKING:
    from ...raft.offset_waiters import Waiter
    from .node import Node


class Watch(Protocol):
    """`arm`, look for records, then `wait`: what came after `arm` ends the wait at once."""

    def arm(self) -> None:
        """Take note of everything that is appended from now on."""
        ...

    def wait(self, timeout_s: float | None) -> bool:
        """Whether there are news; False after `timeout_s`.  May be True without any."""
        ...

    def wake(self) -> None:
        """End a wait on another thread, news or not."""
        ...

    def disarm(self) -> None:
        """Listen no more; idempotent."""
        ...


class PartitionWatch:
    """Woken by the partitions themselves, in the process that owns them."""

    def __init__(self, node: "Node", partitions: Sequence[Partition]) -> None:
        self._node = node
        self._partitions = partitions
        self._news = threading.Event()
        self._waiters: list[Waiter] = []

    def arm(self) -> None:
        self.disarm()
        self._news.clear()
        self._waiters = self._node.run(self._listen)

    def wait(self, timeout_s: float | None) -> bool:
        return self._news.wait(timeout_s)

    def wake(self) -> None:
        self._news.set()

    def disarm(self) -> None:
        gate = self._node.gate
        if self._waiters and gate is not None:
            with gate.lock:
                gate.watch_count -= 1
        for waiter in self._waiters:
            waiter.cancel()
        self._waiters = []

    def _listen(self) -> "list[Waiter]":
        if self._node.gate is not None and self._partitions:
            self._node.gate.watch_count += 1  # who appends tells each high watermark from now on
        return [each.add_fetch_waiter(self._news.set) for each in self._partitions]
