"""Waiting, on any thread, until what was appended is on disk."""

import threading
from collections.abc import Callable

from ...core.errors import LogClosedError
from ...raft import Partition


class FlushWait:
    """One thread's wait for one sync; the logs' owner calls `on_ended` when it is over."""

    def __init__(self, on_ended: Callable[[], None] | None = None) -> None:
        self._on_ended = on_ended
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def start(self, partition: Partition) -> None:
        """Ask for the sync; for the logs' owner."""
        log = partition.log
        if log is None:
            self._fail(LogClosedError(f"{partition!r} is offline: {partition.offline_reason}"))
        else:
            log.flush_async(self._flushed, self._fail)

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when everything appended before `start` is on disk; raise why it is not."""
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"the sync did not end within {timeout_s} s")
        if self._error is not None:
            raise self._error

    def _flushed(self, _end_offset: int) -> None:
        self._end()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        if self._on_ended is not None:
            self._on_ended()
        self._ended.set()
