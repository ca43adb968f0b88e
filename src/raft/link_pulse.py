"""Lets the others hear that this broker lives while its Raft thread waits for a disk.

A sync may take longer than a broker may be silent: beside other programs on a slow disk, seconds.
Records go on meanwhile, so nobody should be elected in its place.  A disk that is stuck for good is
another matter: behind `patience_s` this broker falls silent after all.

Used as a context by the Raft thread around what may wait.  The thread here runs `beat` while that
lasts, and never at another time; it sleeps where nothing has waited for a while.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType


class LinkPulse:
    """See the module."""

    def __init__(self, beat: Callable[[], None], *, interval_s: float, patience_s: float) -> None:
        self._beat = beat
        self._interval_s = interval_s
        self._beats_a_wait = int(patience_s / interval_s)
        self._beats_left = 0
        self._is_waiting = False
        self._is_armed = False
        """Whether the thread looks every interval, or has to be woken first."""
        self._is_closed = False
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="headrace-pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> None:
        with self._changed:
            self._is_waiting = True
            self._beats_left = self._beats_a_wait
            if not self._is_armed:
                self._is_armed = True
                self._changed.notify()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:  # behind a beat that is under way
            self._is_waiting = False

    @contextmanager
    def held(self, lock: "threading.RLock") -> Iterator[None]:
        """`lock`, which another thread may hold while it waits for a disk itself."""
        if not lock.acquire(blocking=False):
            with self:
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _run(self) -> None:
        with self._changed:
            while not self._is_closed:
                self._changed.wait(self._interval_s if self._is_armed else None)
                self._look()

    def _look(self) -> None:
        if not self._is_waiting:
            self._is_armed = False
        elif self._beats_left and not self._is_closed:
            self._beats_left -= 1
            self._beat()
