"""One connection to one other broker, and the dialing that opens it.  Raft thread only.

Frames arrive in the order in which they were sent, never twice, and are lost only with the
connection: that is what Raft's messages rely on.
"""

import contextlib
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any

from .link_frames import FrameReader, encode_link_frame
from .link_hello import LinkAnswer, LinkHello, hello_request, split_response
from .link_sockets import closed_before_others
from .liveness import Peer

MAX_OUTBOX_BYTES = 128 * 1024 * 1024
"""Above this a peer that does not read is cut off; a link has no way to lose only a part."""

READ_BYTES = 256 * 1024
READ, WRITE = select.EPOLLIN, select.EPOLLOUT

SocketAddress = tuple[Any, ...]


class BrokerLink:
    """A socket that carries frames, and is closed here.  `is_up` once a frame of the peer's own
    arrived."""

    __slots__ = (
        "_outbox",
        "_reader",
        "_sent_bytes",
        "fd",
        "is_dialed",
        "is_excused",
        "is_up",
        "last_heard_s",
        "last_sent_s",
        "peer",
        "sock",
        "wants_write",
    )

    def __init__(self, sock: socket.socket, peer: Peer, *, is_dialed: bool, now_s: float) -> None:
        self.sock = closed_before_others(sock)
        self.fd = self.sock.fileno()
        self.peer = peer
        self.is_dialed = is_dialed
        self.is_up = False
        self.last_heard_s = now_s
        self.is_excused = False
        """Whether a pause of this broker was taken off its silence since it was heard last."""
        self.last_sent_s = 0.0
        self.wants_write = False
        """Whether the kernel took less than all: then the socket is polled for room."""
        self._reader = FrameReader()
        self._outbox = bytearray()
        self._sent_bytes = 0

    def receive(self, scratch: memoryview, now_s: float) -> list[bytes]:
        """Payloads that arrived; raises OSError when the link is gone, or CorruptFrameError."""
        try:
            count = self.sock.recv_into(scratch)
        except BlockingIOError:
            return []
        if count == 0:
            raise ConnectionResetError("closed by the peer")
        self.last_heard_s = now_s
        self.is_excused = False
        return self._reader.feed(scratch[:count])

    def take_received(self, received: bytes, now_s: float) -> list[bytes]:
        """Payloads in bytes that were read before the link was one."""
        self.last_heard_s = now_s
        return self._reader.feed(received)

    def send_frame(self, payload: bytes, now_s: float) -> None:
        """Queue one frame and send what the kernel takes; raises OSError."""
        self.last_sent_s = now_s
        self.send_bytes(encode_link_frame(payload))

    def send_bytes(self, content: bytes) -> None:
        """Queue raw bytes and send what the kernel takes; raises OSError."""
        if not self._outbox:
            sent_bytes = self._send(content)
            if sent_bytes == len(content):
                return
            content = content[sent_bytes:]
        if len(self._outbox) + len(content) > MAX_OUTBOX_BYTES:
            raise ConnectionAbortedError(f"{MAX_OUTBOX_BYTES} bytes wait and are not read")
        self._outbox += content
        self.wants_write = True

    def flush(self) -> None:
        """Send more of what waits; raises OSError."""
        while self._outbox:
            sent_bytes = self._send(bytes(self._outbox[:READ_BYTES]))
            if sent_bytes == 0:
                return
            del self._outbox[:sent_bytes]
        self.wants_write = False

    def close(self) -> None:
        self.sock.close()

    def _send(self, content: bytes) -> int:
        try:
            return self.sock.send(content)
        except BlockingIOError:
            return 0


class LinkDial:
    """One attempt to open a link: every address in turn, until a broker answers the hello."""

    def __init__(
        self,
        addresses: Sequence[SocketAddress],
        hello: LinkHello,
        *,
        deadline_s: float,
        on_answer: Callable[[socket.socket, LinkAnswer, bytes], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.hello = hello
        self.deadline_s = deadline_s
        self.on_answer = on_answer
        self.on_failure = on_failure
        self._addresses = list(addresses)
        self._sock: socket.socket | None = None
        self._is_connected = False
        self._connected_s: float | None = None
        self._received = bytearray()
        self._reason = "its name has no address"

    def start_next(self) -> socket.socket | None:
        """A socket that connects to the next address; None when all have failed."""
        self.close()
        while self._addresses:
            address = self._addresses.pop(0)
            try:
                self._sock = _connecting_to(address)
            except OSError as error:
                self._reason = str(error)
            else:
                return self._sock
        self.on_failure(self._reason)
        return None

    def go_on(self) -> tuple[socket.socket, LinkAnswer, bytes] | None:
        """Take the next step the socket allows: in the end the socket, the answer, and the bytes
        that came behind it, all of which the dial lets go of.

        Raises OSError where this address fails, CorruptCommandError where no broker answers.
        """
        sock = self._sock
        assert sock is not None
        if not self._is_connected:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self._is_connected = True
            sock.sendall(hello_request(self.hello))
            return None
        try:
            received = sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        if not received:
            raise ConnectionResetError("closed before it answered: no broker of ours?")
        self._received += received
        found = split_response(self._received)
        if found is None:
            return None
        self._sock = None
        return sock, *found

    def connected_s(self, now_s: float) -> float:
        """When the address that is being tried took the connection: now, if it is asked first."""
        if self._connected_s is None:
            self._connected_s = now_s
        return self._connected_s

    def note_failure(self, reason: str) -> None:
        """Why the address that was tried last failed."""
        self._reason = reason

    def close(self) -> None:
        """Drop the socket of the address that is being tried."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._is_connected = False
        self._connected_s = None
        self._received.clear()


def _connecting_to(address: SocketAddress) -> socket.socket:
    """A socket on its way to the address, or there; raises OSError, also for want of a descriptor.

    That must end one dial, and not the Raft thread.
    """
    family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock
