"""A worker that runs a job only when the test says so, in the order of submission."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from headrace.core.worker import InlineWorker

T = TypeVar("T")


class HeldWorker:
    """A `headrace.core.worker.Worker` under the test's control."""

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], None]] = deque()
        self._inline = InlineWorker()

    def submit(
        self,
        job: Callable[[], T],
        on_done: Callable[[T], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._jobs.append(lambda: self._inline.submit(job, on_done, on_error))

    def run_next(self) -> bool:
        """Run the oldest job, if there is one, and deliver its result."""
        if not self._jobs:
            return False
        self._jobs.popleft()()
        return True

    def run_all(self) -> None:
        """Run jobs, and those that they submit, until none is left."""
        while self.run_next():
            pass

    def close(self) -> None:
        self.run_all()
