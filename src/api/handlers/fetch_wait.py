"""The waiting of a Fetch: for news that satisfies it, at most max_wait."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

Body = dict[str, Any]


class WaitingFetch(ABC):
    """One Fetch request that reads its partitions, as often as needed, until it can be answered."""

    max_wait_ms = 0
    is_satisfied = False
    _is_woken = False

    @abstractmethod
    def read_partitions(self) -> Body:
        """An answer from what is there now; sets `is_satisfied` if it is one to be sent."""

    @abstractmethod
    def watch_partitions(self) -> None:
        """Have `wake` called when any of them has news."""

    @abstractmethod
    def stop_watching(self) -> None:
        """Have `wake` called no more."""

    def note_answered(self) -> None:  # noqa: B027  most remember nothing
        """The body that `read_partitions` gave last is on its way."""

    def answer(self) -> "Body | asyncio.Future[Body | None]":
        """The body, or the promise of one."""
        body = self.read_partitions()
        if not self.is_satisfied:
            return self._wait()
        self.note_answered()
        return body

    def wake(self) -> None:
        """News: look once this turn of the loop is over, so that many appends are seen as one."""
        if not self._is_woken and not self._future.done():
            self._is_woken = True
            self._loop.call_soon(self._look_again)

    def answer_now(self) -> None:
        """Answer with whatever is there."""
        if not self._future.done():
            self._settle(self.read_partitions())

    def _wait(self) -> "asyncio.Future[Body | None]":
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Body | None] = self._loop.create_future()
        self._timer = self._loop.call_later(self.max_wait_ms / 1000, self.answer_now)
        self._future.add_done_callback(self._stop_waiting)
        self.watch_partitions()
        return self._future

    def _look_again(self) -> None:
        self._is_woken = False
        if self._future.done():
            return
        body = self.read_partitions()
        if self.is_satisfied:
            self._settle(body)
        else:
            self.watch_partitions()

    def _settle(self, body: Body) -> None:
        self.note_answered()
        self._future.set_result(body)

    def _stop_waiting(self, future: "asyncio.Future[Body | None]") -> None:
        self._timer.cancel()
        self.stop_watching()
