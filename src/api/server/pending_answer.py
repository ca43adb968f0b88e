"""An answer that comes later than the request's own turn, and the refusal to answer at all."""

import asyncio
from collections.abc import Callable
from typing import Any

from ..handlers.context import CloseConnectionError
from ..handlers.later_answer import LaterAnswer

Pieces = list[bytes | memoryview]

__all__ = ["CloseConnectionError", "PendingAnswer", "Pieces"]


class PendingAnswer:
    """A place in a connection's queue of answers; `pieces` is None until the answer is there.

    An empty list means that the request has no answer (acks=0).  Once it is there `on_ready` is
    called, or `on_ready_soon`, which must not send it within that call.  `error` set means that the
    connection is to be closed once its turn comes.  `is_owed` marks what a stopping broker waits
    for: records that are written and only wait for the disk.  `holds_later` marks a change that the
    requests behind it on the connection must find made: they are handled once it is answered.
    """

    __slots__ = (
        "_over",
        "error",
        "holds_later",
        "is_owed",
        "on_ready",
        "on_ready_soon",
        "pieces",
        "request_bytes",
        "work",
    )

    def __init__(
        self, pieces: Pieces | None = None, *, is_owed: bool = False, holds_later: bool = False
    ) -> None:
        self.pieces = pieces
        self.error: CloseConnectionError | None = None
        self.is_owed = is_owed
        self.holds_later = holds_later
        self.request_bytes = 0
        self.on_ready: Callable[[], None] | None = None
        self.on_ready_soon: Callable[[], None] | None = None
        self.work: asyncio.Future[Any] | LaterAnswer | None = None
        self._over: asyncio.Future[None] | None = None

    def complete(self, pieces: Pieces, *, soon: bool = False) -> None:
        self.pieces = pieces
        on_ready = self.on_ready_soon if soon else self.on_ready
        if on_ready is not None:
            on_ready()
        if self._over is not None:
            self._note_over()

    def fail(self, error: CloseConnectionError) -> None:
        self.error = error
        self.complete([])

    def cancel(self) -> None:
        """The client is gone: stop the work, if any, and tell nobody."""
        self.on_ready = self.on_ready_soon = None
        if self.work is not None:
            self.work.cancel()
        self._note_over()

    def over(self) -> asyncio.Future[None]:
        """Done once the answer is on its way, or nobody wants it any more."""
        if self._over is None:
            self._over = asyncio.get_running_loop().create_future()
        return self._over

    def _note_over(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
