"""Standard input whose reader hears of every signal, also of one that comes as it begins to wait.

Python runs a signal's handler between two of its own steps.  A signal that arrives behind the last
of them and before read(2) blocks only leaves a mark, and the handler would run when the next line
is there, which may be never.  So a read waits for the signal as well (signal.set_wakeup_fd).
"""

import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SIGNALS_AT_ONCE = 64


@contextmanager
def standard_input() -> Iterator[BinaryIO]:
    """What is typed or piped in, as bytes; of the main thread, as all that handles signals."""
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        yield io.BufferedReader(_WokenReader(sys.stdin.fileno(), woken))
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(waker)


class _WokenReader(io.RawIOBase):
    """Reads a descriptor; a byte in `woken` ends its waiting, so that handlers run meanwhile."""

    def __init__(self, descriptor: int, woken: int) -> None:
        self._descriptor = descriptor
        self._woken = woken
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(woken, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        """Bytes read, 0 at the end; raises what a signal's handler raises."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            if self._woken in ready:
                os.read(self._woken, _SIGNALS_AT_ONCE)
            if self._descriptor in ready:
                return os.readv(self._descriptor, [buffer])
