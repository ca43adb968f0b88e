"""One client's connection: frames in, answers out in the order of the requests, back-pressure.

    OFFSET  SIZE  FIELD     a frame, both ways, big-endian
         0     4  size      bytes that follow
         4  size  payload   header and body

A frame that arrived whole is handled where it lies in the shared receive buffer; the view of it
that the dispatcher gets is good until `dispatch_frame` returns.  The start of a frame under way is
kept in a frame buffer, which grows with the bytes that arrive and is read into up to the frame's
end only.

Reading stops while the client does not read its answers, while MAX_PENDING_ANSWERS of its requests
are unanswered, while one waits that the later ones must not overtake, and while
queued.max.request.bytes is spent; what was already read is stashed.  For one turn of the loop it
also stops behind MAX_TURN_BYTES of large frames: else uvloop reads on while there is anything, and
who waits for what was appended, followers above all, gets less than comes in.
"""

import asyncio
import logging
import os
from collections import deque
from struct import Struct
from typing import Any, Protocol, cast

from ..handlers.context import SocketHandOver
from .connection_table import ConnectionTable
from .foreign_greeting import explain_bad_length
from .pending_answer import CloseConnectionError, PendingAnswer, Pieces
from .receive_buffers import ReceiveBuffers
from .request_budget import RequestBudget

MAX_PENDING_ANSWERS = 256
MAX_UNSENT_PIECES = 32
MAX_TURN_BYTES = 3 * 1024 * 1024
WRITE_BUFFER_HIGH_BYTES = 1024 * 1024
read_size = Struct(">i").unpack_from

logger = logging.getLogger(__name__)


class FrameHandler(Protocol):
    """What a connection hands its frames to: the dispatcher."""

    def dispatch_frame(
        self, connection: "Connection", frame: memoryview
    ) -> Pieces | PendingAnswer | None:
        """The answer's pieces, size prefix included; one that comes later; or None for no answer.

        Raises CloseConnectionError where the protocol answers by closing the connection.
        """
        ...


class Connection(asyncio.BufferedProtocol):
    """The protocol object of one accepted socket.  Loop thread only."""

    __slots__ = (
        "_budget",
        "_buffers",
        "_dispatch_frame",
        "_expected_bytes",
        "_filled",
        "_frame_buffer",
        "_frame_bytes",
        "_is_choked",
        "_is_held",
        "_is_paused",
        "_is_send_due",
        "_is_stopped",
        "_loop",
        "_max_bytes",
        "_must_wait",
        "_pending",
        "_stash",
        "_table",
        "_transport",
        "_turn_bytes",
        "client_host",
        "contexts",
        "is_closing",
        "last_active",
        "listener_name",
    )

    def __init__(
        self,
        *,
        handler: FrameHandler,
        table: ConnectionTable,
        buffers: ReceiveBuffers,
        budget: RequestBudget,
        listener_name: str,
        request_max_bytes: int,
    ) -> None:
        self._dispatch_frame = handler.dispatch_frame
        self.listener_name = listener_name
        self.client_host = ""
        self.is_closing = False
        self.last_active = 0.0
        self.contexts: dict[Any, Any] = {}  # the dispatcher's memory about this client
        self._table = table
        self._buffers = buffers
        self._budget = budget
        self._max_bytes = request_max_bytes
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._frame_buffer: memoryview | None = None
        self._frame_bytes = 0  # of the frame being gathered, prefix included; 4 while unknown
        self._filled = 0
        self._expected_bytes = 0  # of the next frame, if the last one was too large for `shared`
        self._turn_bytes = 0  # of large frames since reading stopped for a turn
        self._stash: memoryview | None = None  # read, but not to be handled yet
        self._pending: deque[PendingAnswer] = deque()
        self._is_choked = False  # the client does not read its answers
        self._is_held = False  # above max.connections
        self._is_paused = False
        self._is_send_due = False
        self._is_stopped = False  # for good: the broker stops
        self._must_wait = False  # what these and the pending answers come to

    # ---- asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        # One who came by IPv4 to a listener on [::] is known by its IPv4 address.
        self.client_host = peer[0].removeprefix("::ffff:") if peer else ""
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_HIGH_BYTES)
        self.last_active = self._loop.time()
        if not self._table.admit(self):
            self.is_closing = True
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closing = True
        self._table.discard(self)
        self._budget.forget(self._go_on)
        self._drop_frame_buffer()
        self._stash = None
        pending, self._pending = self._pending, deque()
        for answer in pending:
            self._budget.give_back(answer.request_bytes)
            answer.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: the rest of the frame under way, or the shared buffer."""
        if self._frame_buffer is not None:
            return self._frame_buffer[self._filled : self._frame_bytes]
        buffers = self._buffers
        return buffers.head if 0 < self._expected_bytes <= buffers.free_bytes else buffers.shared

    def buffer_updated(self, nbytes: int) -> None:
        self.last_active = self._loop.time()
        if self.is_closing:
            return
        if self._frame_buffer is None:
            self._expected_bytes = 0
            self._split_frames(self._buffers.shared, nbytes)
        else:
            self._continue_frame(nbytes)

    def pause_writing(self) -> None:
        self._is_choked = self._must_wait = True

    def resume_writing(self) -> None:
        self.last_active = self._loop.time()
        self._is_choked = False
        self._must_wait = self._has_to_wait()
        self._go_on()

    # ---- for the table and the server

    @property
    def has_pending_answers(self) -> bool:
        return bool(self._pending)

    def hold(self) -> None:
        """Handle no request for now; what arrives is stashed, and reading pauses then."""
        self._is_held = self._must_wait = True

    def release(self) -> None:
        """Begin, after `hold`, with what has arrived meanwhile."""
        self._is_held = False
        self._must_wait = self._has_to_wait()
        self._go_on()

    def stop_reading(self) -> None:
        """Take no further request; answers still go out."""
        if not self.is_closing:
            self._is_stopped = self._must_wait = True
            self._transport.pause_reading()

    def due_answers(self) -> list[asyncio.Future[None]]:
        """The answers that a stopping broker still owes."""
        return [
            answer.over() for answer in self._pending if answer.is_owed and answer.pieces is None
        ]

    def close(self) -> None:
        """Close after the answers already written have left; nothing more is read."""
        if not self.is_closing:
            self.is_closing = True
            self._transport.close()

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        self.is_closing = True
        self._transport.abort()

    # ---- frames in

    def _split_frames(self, view: memoryview, end: int) -> None:
        """Handle every whole frame in `view[:end]`; keep what is left for later."""
        position = 0
        out: Pieces = []
        pending, dispatch_frame, max_bytes = self._pending, self._dispatch_frame, self._max_bytes
        while end - position >= 4:
            (size_bytes,) = read_size(view, position)
            stop = position + 4 + size_bytes
            if stop > end or not 0 < size_bytes <= max_bytes or self._must_wait:
                break
            try:
                answer = dispatch_frame(self, view[position + 4 : stop])
            except CloseConnectionError as error:
                self._write(out)
                self._close_for(error)
                return
            position = stop
            if type(answer) is list and not pending:
                out += answer
                # Many, or large ones: let the transport say at once whether it is too much.
                if len(answer) > 1 or len(out) >= MAX_UNSENT_PIECES:
                    self._write(out)
                    out = []
            elif answer is not None:
                self._queue_answer(answer, size_bytes)
        if out:
            self._write(out)
        if position < end:
            self._keep(view[position:end])
        elif self._must_wait:
            self._pause()

    def _queue_answer(self, answer: Pieces | PendingAnswer, request_bytes: int) -> None:
        """Let an answer wait for its own work, or for its turn behind earlier ones."""
        pending = PendingAnswer(answer) if isinstance(answer, list) else answer
        pending.request_bytes = request_bytes
        self._budget.hold(request_bytes)
        self._pending.append(pending)
        pending.on_ready = self._send_ready
        pending.on_ready_soon = self._send_soon
        if pending.holds_later or len(self._pending) >= MAX_PENDING_ANSWERS:
            self._must_wait = True

    def _continue_frame(self, nbytes: int) -> None:
        """`nbytes` more of the frame in the frame buffer have arrived."""
        buffer = self._frame_buffer
        assert buffer is not None, nbytes
        self._filled += nbytes
        if self._filled < self._frame_bytes:
            if self._filled == len(buffer):
                self._grow_frame_buffer(buffer)
            return
        if self._frame_bytes == 4:  # the size itself came in parts: now it is known
            head = memoryview(bytes(buffer[:4]))
            self._drop_frame_buffer()
            self._split_frames(head, 4)
            return
        # The buffer is detached while its frame is handled, so that a remainder finds none.
        self._frame_buffer = None
        frame_bytes = self._frame_bytes
        if frame_bytes > len(self._buffers.shared):
            self._expected_bytes = frame_bytes
        self._split_frames(buffer, self._filled)
        self._budget.give_back(frame_bytes)
        self._buffers.give_back(buffer)
        self._turn_bytes += frame_bytes
        if self._turn_bytes >= MAX_TURN_BYTES:
            self._let_others_go_first()

    def _keep(self, rest: memoryview) -> None:
        """Keep what was read and cannot be handled yet, outside the shared buffer."""
        held_bytes = len(rest)
        frame_bytes = 4
        if held_bytes >= 4:
            (size_bytes,) = read_size(rest)
            if not 0 < size_bytes <= self._max_bytes:
                self._refuse_length(bytes(rest[:4]))
                return
            frame_bytes += size_bytes
        if self._must_wait or self._budget.is_spent:
            self._stash = memoryview(bytes(rest))
            self._pause()
            return
        self._frame_bytes = frame_bytes
        buffer = self._buffers.take(wanted_bytes=frame_bytes, held_bytes=held_bytes)
        buffer[:held_bytes] = rest
        self._filled = held_bytes
        self._frame_buffer = buffer
        self._budget.hold(frame_bytes)  # all of it, as it may be completed whatever comes

    def _grow_frame_buffer(self, full: memoryview) -> None:
        """Twice the room, as far as the frame needs it: for bytes that arrived, not announced."""
        larger = self._buffers.take(wanted_bytes=self._frame_bytes, held_bytes=len(full))
        larger[: len(full)] = full
        self._frame_buffer = larger
        self._buffers.give_back(full)

    def _drop_frame_buffer(self) -> None:
        if self._frame_buffer is not None:
            self._budget.give_back(self._frame_bytes)
            self._frame_buffer = None

    # ---- back-pressure

    def _has_to_wait(self) -> bool:
        return (
            self._is_choked
            or self._is_held
            or self._is_stopped
            or len(self._pending) >= MAX_PENDING_ANSWERS
            or (bool(self._pending) and self._pending[-1].holds_later)
        )

    def _pause(self) -> None:
        if not self._is_paused and not self.is_closing:
            self._is_paused = True
            self._transport.pause_reading()
        if self._budget.is_spent:
            self._budget.wait(self._go_on)

    def _let_others_go_first(self) -> None:
        """Read nothing more in this turn of the loop."""
        self._turn_bytes = 0
        if not self._is_paused and not self.is_closing:
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._is_paused or self.is_closing:
            return
        if self._must_wait:
            self._pause()
        else:
            self._transport.resume_reading()

    def _go_on(self) -> None:
        """Handle what was stashed and read on, if nothing holds this connection back any more."""
        if self.is_closing or not self._is_paused or self._must_wait:
            return
        stash, self._stash = self._stash, None
        if stash is not None:
            if self._budget.is_spent:
                self._stash = stash
                self._budget.wait(self._go_on)
                return
            self._split_frames(stash, len(stash))
        if self._stash is None and not self._must_wait and not self.is_closing:
            self._is_paused = False
            self._transport.resume_reading()

    # ---- answers out

    def _send_soon(self) -> None:
        """Send what is ready in the next turn: all that became ready by then, at once."""
        if not self._is_send_due:
            self._is_send_due = True
            self._loop.call_soon(self._send_ready)

    def _send_ready(self) -> None:
        """Send the answers at the head of the queue that are ready by now."""
        self._is_send_due = False
        pending = self._pending
        out: Pieces = []
        while pending and (pieces := pending[0].pieces) is not None:
            answer = pending.popleft()
            self._budget.give_back(answer.request_bytes)
            if answer.error is not None:
                self._write(out)
                self._close_for(answer.error)
                return
            out += pieces
        if out:
            self._write(out)
            self.last_active = self._loop.time()
        if self._must_wait:
            self._must_wait = self._has_to_wait()
        if self._is_paused:
            self._go_on()

    def _write(self, out: Pieces) -> None:
        """Hand pieces to the transport; `out` may be used again by the caller."""
        if len(out) == 1:
            self._transport.write(out[0])
        elif out:
            self._transport.writelines(out)

    # ---- the end

    def _refuse_length(self, first_four: bytes) -> None:
        reason = explain_bad_length(first_four, self._max_bytes)
        self._close_for(CloseConnectionError(reason, level=logging.WARNING))

    def _close_for(self, error: CloseConnectionError) -> None:
        if isinstance(error, SocketHandOver) and self._hand_over(error):
            return
        self._table.report_closed(self, error)
        self.close()

    def _hand_over(self, error: SocketHandOver) -> bool:
        """Give the socket away and forget it; False where an answer is still under way on it."""
        transport = self._transport
        sock = transport.get_extra_info("socket")
        if self._pending or sock is None or transport.get_write_buffer_size():
            return False
        descriptor = os.dup(sock.fileno())
        self.abort()
        error.take_socket(descriptor)
        return True
