"""Group commit of one log: one sync in flight on the worker; who comes later shares the next.

A failed sync is never tried again: the kernel may have dropped the dirty pages, and a second fsync
would say that all is well.  The log goes offline and every waiter hears of it.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checkpoint_file import sync_folder
from .errors import NO_DESCRIPTOR_LEFT, LogClosedError
from .log_segment import LogSegment
from .mapped_file import sync_descriptor
from .worker import Worker

OnFlushed = Callable[[int], None]
OnError = Callable[[BaseException], None]


class SyncGate:
    """The syncs of one log, on whatever thread: one at a time, none behind one that failed.

    The kernel tells a failure to one of those who sync side by side, and to nobody after it.
    """

    __slots__ = ("_lock", "failure")

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._lock = threading.Lock()

    def run(self, sync: Callable[[], None]) -> None:
        """Call `sync`, or raise what an earlier one failed with."""
        with self._lock:
            if self.failure is not None:
                raise self.failure
            try:
                sync()
            except BaseException as error:
                # Where no descriptor was left no sync was tried: the next one covers it all.
                if not isinstance(error, OSError) or error.errno not in NO_DESCRIPTOR_LEFT:
                    self.failure = error
                raise


@dataclass(slots=True)
class FlushPlan:
    """What one sync covers: descriptors of its own, and the folder if names in it are new."""

    end_offset: int
    descriptors: list[int]
    folder: Path | None
    gate: SyncGate = field(default_factory=SyncGate)

    def run(self) -> int:
        """Sync it all; the offset everything below which is on disk.  For any thread."""
        try:
            self.gate.run(self._sync)
        finally:
            for descriptor in self.descriptors:
                os.close(descriptor)
        return self.end_offset

    def _sync(self) -> None:
        for descriptor in self.descriptors:
            sync_descriptor(descriptor)
        if self.folder is not None:
            sync_folder(self.folder)


def plan_flush(
    segments: Sequence[LogSegment],
    end_offset: int,
    files: Sequence[Path],
    folder: Path | None,
    gate: SyncGate,
) -> FlushPlan:
    """A plan for what these segments and files hold now.

    The indexes of all segments but the last are included, because nobody rebuilds them.
    """
    descriptors: list[int] = []
    try:
        for segment in segments:
            descriptors.append(segment.log.duplicate_descriptor())
            if segment is not segments[-1]:
                descriptors.append(segment.offset_index.file.duplicate_descriptor())
                descriptors.append(segment.time_index.file.duplicate_descriptor())
        for path in files:
            descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return FlushPlan(end_offset, descriptors, folder, gate)


class LogFlusher:
    """`make_plan` says what to sync; `on_flushed` and `on_failure` are the log's own."""

    def __init__(
        self,
        worker: Worker,
        *,
        make_plan: Callable[[], FlushPlan],
        on_flushed: OnFlushed,
        on_failure: OnError,
    ) -> None:
        self._worker = worker
        self._make_plan = make_plan
        self._on_flushed = on_flushed
        self._on_failure = on_failure
        self._is_in_flight = False
        self._waiters: list[tuple[OnFlushed, OnError]] = []

    def request_flush(self, on_flushed: OnFlushed, on_error: OnError) -> None:
        """Sync what is written by now; then call one of the two on the owner's thread."""
        self._waiters.append((on_flushed, on_error))
        if not self._is_in_flight:
            self._start()

    @property
    def is_in_flight(self) -> bool:
        """Whether the worker has a sync of this log to do."""
        return self._is_in_flight

    def take_waiters(self) -> list[tuple[OnFlushed, OnError]]:
        """Who waits for the sync after the one in flight; from now on the caller serves them."""
        waiters, self._waiters = self._waiters, []
        return waiters

    def _start(self) -> None:
        waiters, self._waiters = self._waiters, []
        try:
            plan = self._make_plan()
        except (OSError, LogClosedError) as error:  # closed: deleted while a sync was under way
            self._failed(waiters, error)
            return
        self._is_in_flight = True
        self._worker.submit(
            plan.run,
            lambda end_offset: self._finished(waiters, end_offset),
            lambda error: self._failed(waiters, error),
        )

    def _finished(self, waiters: list[tuple[OnFlushed, OnError]], end_offset: int) -> None:
        self._is_in_flight = False
        self._on_flushed(end_offset)
        if self._waiters:
            self._start()
        for on_flushed, _ in waiters:
            on_flushed(end_offset)

    def _failed(self, waiters: list[tuple[OnFlushed, OnError]], error: BaseException) -> None:
        self._is_in_flight = False
        self._on_failure(error)
        waiters, self._waiters = [*waiters, *self._waiters], []
        for _, on_error in waiters:
            on_error(error)


def ignore_outcome(_: object) -> None:
    """For syncs nobody waits for: the log itself takes note of how they end."""
