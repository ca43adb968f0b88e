"""A socket that speaks frames and nothing more: whatever a test wants to send, byte for byte."""

import socket
import struct
from types import TracebackType
from typing import Self


def frame(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


class RawClient:
    """A blocking TCP client with a time-out, so that a lost answer fails a test and never hangs."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", timeout_s: float = 60.0) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_frame(self, payload: bytes) -> None:
        self.send_bytes(frame(payload))

    def receive_exactly(self, count: int) -> bytes:
        """`count` bytes; raises ConnectionError where the broker closed before."""
        received = bytearray()
        while len(received) < count:
            chunk = self.socket.recv(count - len(received))
            if not chunk:
                raise ConnectionError(f"closed after {len(received)} of {count} bytes")
            received += chunk
        return bytes(received)

    def receive_frame(self) -> bytes:
        (size_bytes,) = struct.unpack(">i", self.receive_exactly(4))
        return self.receive_exactly(size_bytes)

    def is_closed_by_peer(self) -> bool:
        """Wait for the broker to close; False if it sends something instead or does nothing."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
