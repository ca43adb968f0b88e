"""queued.max.request.bytes: how many bytes of unanswered requests this broker holds at most."""

from collections.abc import Callable


class RequestBudget:
    """Counts bytes of requests that are half received or not yet answered.

    A request counts with its whole length from its first bytes on, though memory is taken only for
    what has arrived.  A connection asks `is_spent` before it begins to hold a new request and, if
    it must wait, leaves a callable that is called once when bytes have been given back.  A request
    that has begun may always be completed, so the bound can be passed by one request, as in Kafka.
    """

    def __init__(self, max_bytes: int = -1) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._waiting: dict[Callable[[], None], None] = {}

    @property
    def is_spent(self) -> bool:
        return 0 <= self.max_bytes <= self.held_bytes

    def hold(self, size_bytes: int) -> None:
        self.held_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        self.held_bytes -= size_bytes
        assert self.held_bytes >= 0, self.held_bytes
        if self._waiting and not self.is_spent:
            waiting, self._waiting = self._waiting, {}
            for resume in waiting:
                resume()

    def wait(self, resume: Callable[[], None]) -> None:
        """Call `resume` once, as soon as there is room again."""
        self._waiting[resume] = None

    def forget(self, resume: Callable[[], None]) -> None:
        self._waiting.pop(resume, None)
