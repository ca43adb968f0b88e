"""Fetch requests to other brokers, over one connection a peer to its ordinary listener.

    OFFSET  SIZE  FIELD     a frame, both ways, big-endian
         0     4  size      bytes that follow
         4  size  payload   header and body

Answers come in the order of the requests.  An answer is read into one buffer that is used again for
the next: its records are good until the callback returns.  Loop thread only.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Container
from struct import Struct
from typing import Any

from ...core.errors import MalformedBytesError
from ..wire.api_keys import ApiKey
from ..wire.codec import decode_response
from ..wire.headers import decode_response_header, encode_request_frame

FETCH = int(ApiKey.FETCH)
FETCH_VERSION = 17
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_MS = 3000  # beyond the max_wait that the request allows
FIRST_BUFFER_BYTES = 256 * 1024
MAX_FRAME_BYTES = 256 * 1024 * 1024
read_size = Struct(">i").unpack_from

logger = logging.getLogger(__name__)

Body = dict[str, Any]
OnAnswer = Callable[[Body | BaseException], None]
AddressOf = Callable[[int], tuple[str, int] | None]
"""Where a broker's listener is; None while nobody knows."""


class PeerClients:
    """A connection to each broker that was asked for something."""

    def __init__(self, *, address_of: AddressOf, client_id: str) -> None:
        self._address_of = address_of
        self._client_id = client_id
        self._peers: dict[int, _Peer] = {}

    def send_fetch(self, broker_id: int, request: Body, on_answer: OnAnswer) -> None:
        """Send a Fetch; `on_answer` gets its answer, or the OSError that kept it away.

        Never called before this returns.
        """
        peer = self._peers.get(broker_id)
        if peer is None:
            peer = self._peers[broker_id] = _Peer(broker_id, self._address_of, self._client_id)
        peer.send_fetch(request, on_answer)

    def disconnect(self, broker_id: int) -> None:
        """Give a peer's connection up: it is known to be gone."""
        peer = self._peers.get(broker_id)
        if peer is not None:
            peer.fail(ConnectionError(f"broker {broker_id} is gone"))

    def disconnect_others(self, live_ids: Container[int]) -> None:
        """Give up the connections to all who are not among `live_ids`."""
        for broker_id in self._peers:
            if broker_id not in live_ids:
                self.disconnect(broker_id)

    def close(self) -> None:
        """Close every connection; what is unanswered gets an error."""
        for peer in self._peers.values():
            peer.fail(ConnectionError("this broker stops"))
        self._peers.clear()


class _Asked:
    """A request on its way."""

    __slots__ = ("correlation_id", "due_s", "on_answer")

    def __init__(self, correlation_id: int, due_s: float, on_answer: OnAnswer) -> None:
        self.correlation_id = correlation_id
        self.due_s = due_s
        self.on_answer = on_answer


class _Peer:
    """One broker: the connection to it, if there is one, and what it was asked."""

    def __init__(self, broker_id: int, address_of: AddressOf, client_id: str) -> None:
        self._broker_id = broker_id
        self._address_of = address_of
        self._client_id = client_id
        self._loop = asyncio.get_running_loop()
        self._asked: deque[_Asked] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_id = 0

    def send_fetch(self, request: Body, on_answer: OnAnswer) -> None:
        """See `PeerClients.send_fetch`."""
        self._last_id = (self._last_id + 1) & 0x7FFFFFFF
        frame = encode_request_frame(FETCH, FETCH_VERSION, self._last_id, self._client_id, request)
        due_s = self._loop.time() + (request["max_wait_ms"] + ANSWER_TIMEOUT_MS) / 1000
        self._asked.append(_Asked(self._last_id, due_s, on_answer))
        if self._timer is None:
            self._timer = self._loop.call_at(due_s, self._check_time)
        if self._transport is not None:
            self._transport.write(frame)
            return
        self._unsent.append(frame)
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())

    def fail(self, error: BaseException) -> None:
        """Close the connection and tell everyone who waits."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unsent = []
        asked, self._asked = self._asked, deque()
        for each in asked:
            each.on_answer(error)

    async def _connect(self) -> None:
        try:
            address = self._address_of(self._broker_id)
            if address is None:
                raise ConnectionError(f"the address of broker {self._broker_id} is not known")
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, _ = await self._loop.create_connection(
                    lambda: _PeerProtocol(self), *address
                )
        except Exception as error:  # also an address that is none: UnicodeError, OverflowError
            self._connecting = None
            self.fail(error)
            return
        self._connecting = None
        if transport.is_closing():  # lost before we came to know of it
            self.fail(ConnectionResetError(f"broker {self._broker_id} closed the connection"))
            return
        self._transport = transport
        unsent, self._unsent = self._unsent, []
        self._transport.writelines(unsent)

    def _check_time(self) -> None:
        self._timer = None
        if not self._asked:
            return
        due_s = self._asked[0].due_s
        if due_s <= self._loop.time():
            self.fail(TimeoutError(f"broker {self._broker_id} does not answer"))
        else:
            self._timer = self._loop.call_at(due_s, self._check_time)

    def take_frame(self, frame: memoryview) -> None:
        """An answer without its size; raises MalformedBytesError for bytes that are none."""
        correlation_id, position = decode_response_header(FETCH, FETCH_VERSION, frame)
        if not self._asked or self._asked[0].correlation_id != correlation_id:
            raise MalformedBytesError(f"an answer to request {correlation_id}", 0)
        body = decode_response(FETCH, FETCH_VERSION, frame, position)
        self._asked.popleft().on_answer(body)

    def connection_lost(self, transport: object, error: BaseException) -> None:
        """The protocol says so; ignored of a connection that was given up before."""
        if transport is self._transport:
            self.fail(error)


class _PeerProtocol(asyncio.BufferedProtocol):
    """The bytes of one connection, gathered into frames."""

    def __init__(self, peer: _Peer) -> None:
        self._peer = peer
        self._transport: asyncio.BaseTransport | None = None
        self._buffer = memoryview(bytearray(FIRST_BUFFER_BYTES))
        self._filled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.connection_lost(self._transport, exc or ConnectionResetError("it was closed"))

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._filled == len(self._buffer):
            self._grow()
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        buffer, position, end = self._buffer, 0, self._filled
        while end - position >= 4:
            (size_bytes,) = read_size(buffer, position)
            if not 0 < size_bytes <= MAX_FRAME_BYTES:
                self._give_up(MalformedBytesError(f"a frame of {size_bytes} bytes", position))
                return
            stop = position + 4 + size_bytes
            if stop > end:
                break
            try:
                self._peer.take_frame(buffer[position + 4 : stop])
            except MalformedBytesError as error:
                self._give_up(error)
                return
            position = stop
        if position == end:
            self._filled = 0
        elif position:
            buffer[: end - position] = bytes(buffer[position:end])
            self._filled = end - position

    def _grow(self) -> None:
        """Twice the room, as far as the frame needs it: bytes arrived, so they are paid for."""
        held_bytes = len(self._buffer)
        (size_bytes,) = read_size(self._buffer)
        missing_bytes = max(4 + size_bytes - held_bytes, 1)
        steps = (missing_bytes + FIRST_BUFFER_BYTES - 1) // FIRST_BUFFER_BYTES
        larger_bytes = held_bytes + min(steps * FIRST_BUFFER_BYTES, held_bytes)
        larger = memoryview(bytearray(larger_bytes))
        larger[: self._filled] = self._buffer
        self._buffer = larger

    def _give_up(self, error: BaseException) -> None:
        logger.warning("the connection to a broker is closed: %s", error)
        self._peer.connection_lost(self._transport, error)
