"""What a store does by the clock, on a thread of its own: retention, compaction, checkpoints."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...core.clock import Clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What is done every `interval_ms`."""

    name: str
    interval_ms: int
    run: Callable[[], object]


class Housekeeping:
    """Runs jobs by their intervals until `stop`.

    `run` is what calls a job, so that it can take the lock.  A job that fails is logged and keeps
    its place.
    """

    def __init__(
        self, jobs: Sequence[Job], *, clock: Clock, run: Callable[[Callable[[], object]], None]
    ) -> None:
        self._clock = clock
        self._run = run
        self._stopped = threading.Event()
        now_ms = clock.monotonic_ms()
        self._due = [(now_ms + job.interval_ms, job) for job in jobs]
        self._thread = threading.Thread(
            target=self._keep_house, name="headrace-store-housekeeping", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Start no job any more, and wait for the one that runs."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _keep_house(self) -> None:
        while True:
            next_ms = min(due_ms for due_ms, _ in self._due)
            delay_s = max(0, next_ms - self._clock.monotonic_ms()) / 1000
            if self._stopped.wait(delay_s):
                return
            self.run_due()

    def run_due(self) -> None:
        """Run every job whose time has come."""
        now_ms = self._clock.monotonic_ms()
        for place, (due_ms, job) in enumerate(self._due):
            if due_ms > now_ms:
                continue
            self._due[place] = (now_ms + job.interval_ms, job)
            try:
                self._run(job.run)
            except Exception:
                logger.exception("housekeeping (%s) failed; it is tried again", job.name)
