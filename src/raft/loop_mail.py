"""Calls from the Raft thread to the loop thread: in order, batched, and in short turns.

One post to the loop carries everything of a turn.  A thousand groups that change at once must not
hold up the clients' requests, so the loop gets them in slices.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable

CALLS_PER_SLICE = 64

Call = Callable[[], object]

logger = logging.getLogger(__name__)


class LoopMail:
    """`post` runs a call on the loop thread, as `loop.call_soon_threadsafe` does.

    `on_slice_end` is called there behind each slice, in which `is_in_slice` is true: what many
    calls ask of the Raft thread, it is woken for once.
    """

    def __init__(
        self, post: Callable[[Call], object], on_slice_end: Callable[[], object] | None = None
    ) -> None:
        self._post = post
        self._on_slice_end = on_slice_end
        self.is_in_slice = False
        self._calls: deque[Call] = deque()
        self._lock = threading.Lock()
        self._is_posted = False

    def add(self, call: Call) -> None:
        """Keep a call for the next `deliver`.  Any thread."""
        self._calls.append(call)

    def deliver(self) -> None:
        """See to it that everything added is run soon.  Any thread."""
        if not self._calls:
            return
        with self._lock:
            if self._is_posted:
                return
            self._is_posted = True
        self._post_slice()

    def _post_slice(self) -> None:
        try:
            self._post(self._run_slice)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            logger.debug("the loop is closed; %d calls are dropped", len(self._calls))
            self._calls.clear()

    def _run_slice(self) -> None:
        calls = self._calls
        self.is_in_slice = True
        for _ in range(min(CALLS_PER_SLICE, len(calls))):
            try:
                calls.popleft()()
            except Exception:
                logger.exception("a call from the Raft thread failed")
        self.is_in_slice = False
        if self._on_slice_end is not None:
            self._on_slice_end()
        with self._lock:
            if not calls:
                self._is_posted = False
                return
        self._post_slice()
