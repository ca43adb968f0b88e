"""The waiting of a Fetch: for news that satisfies it, at most max_wait."""

from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .later_answer import LaterAnswer

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]


class WaitingFetch(LaterAnswer, ABC):
    """One Fetch request that reads its partitions, as often as needed, until it can be answered."""

    _broker: "Broker"
    _loop: AbstractEventLoop
    _max_bytes: int
    _min_bytes: int
    max_wait_ms = 0
    is_satisfied = False
    _is_woken = False
    _is_over = False

    @abstractmethod
    def read_partitions(self) -> Any:
        """What is there now; sets `is_satisfied` if it is to be sent."""

    @abstractmethod
    def _read_one(self, asked: Any, left_bytes: int, min_one_batch: bool) -> Any:
        """What one partition has, or the answer that says what refused it; None: it has no news."""

    @abstractmethod
    def describe(self, found: Any) -> Body:
        """The body that says what `read_partitions` found, which is on its way from now on."""

    @abstractmethod
    def watch_partitions(self) -> None:
        """Have `wake` called when any of them has news."""

    @abstractmethod
    def stop_watching(self) -> None:
        """Have `wake` called no more."""

    def _read_each(self, partitions: Iterable[Any], *, is_final: bool) -> list[Any]:
        """Each with what it has, or with the answer that refused it, which is told at once."""
        found: list[Any] = []
        left_bytes = self._max_bytes
        found_bytes = 0
        for asked in partitions:
            read = self._read_one(asked, left_bytes, found_bytes == 0)
            if read is None:
                continue
            found.append((asked, read))
            if isinstance(read, dict):
                is_final = True
                continue
            size_bytes = len(read.records)
            left_bytes -= size_bytes
            found_bytes += size_bytes
            is_final = is_final or read.diverging_epoch is not None
        self.is_satisfied = is_final or found_bytes >= self._min_bytes
        return found

    def answer(self) -> "Body | WaitingFetch":
        """The body, or the promise of one."""
        found = self.read_partitions()
        if self.is_satisfied:
            return self.describe(found)
        self._begin_to_wait()
        return self

    def _begin_to_wait(self) -> None:
        deadlines = self._broker.deadlines
        self._loop = deadlines.loop
        deadlines.add(self, self.max_wait_ms)
        self.watch_partitions()

    def wake(self) -> None:
        """News: look once this turn of the loop is over, so that many appends are seen as one."""
        if not self._is_woken and not self._is_over:
            self._is_woken = True
            self._loop.call_soon(self._look_again)

    def answer_now(self) -> None:
        """Answer with whatever is there; sent when the request that asks for this is handled."""
        if not self._is_over:
            body = self.describe(self.read_partitions())
            self.stop_waiting()
            self._loop.call_soon(self.give, body)

    def stop_waiting(self) -> None:
        """See `LaterAnswer`."""
        self._is_over = True
        self._broker.deadlines.discard(self, self.max_wait_ms)
        self.stop_watching()

    def expire(self) -> None:
        """max_wait is over."""
        if not self._is_over:
            self._settle(self.read_partitions())

    def _look_again(self) -> None:
        self._is_woken = False
        if self._is_over:
            return
        found = self.read_partitions()
        if self.is_satisfied:
            self._settle(found)
        else:
            self.watch_partitions()

    def _settle(self, found: Any) -> None:
        body = self.describe(found)
        self.stop_waiting()
        self.give(body)
