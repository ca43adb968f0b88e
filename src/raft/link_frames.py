"""The frames of a broker link: all messages of one turn to one peer in one of
them, or in as few as its bounds allow.

    OFFSET  SIZE  FIELD     integers big-endian
         0     4  size      bytes of the payload, 1 to MAX_FRAME_BYTES
         4     4  crc       CRC-32 of the payload
         8  size  payload   see `message_codec`

The receiver's memory grows with what has arrived, never with what a length promises.
"""

import struct
import zlib

from .errors import CorruptFrameError

MAX_FRAME_BYTES = 64 * 1024 * 1024

_HEAD = struct.Struct(">II")


def encode_link_frame(payload: bytes) -> bytes:
    """`payload` with its head."""
    if not 0 < len(payload) <= MAX_FRAME_BYTES:
        raise CorruptFrameError(f"a frame of {len(payload)} bytes may not be sent")
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into payloads."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def held_bytes(self) -> int:
        """Of a frame whose end has not arrived."""
        return len(self._held)

    def feed(self, received: bytes | memoryview) -> list[bytes]:
        """The payloads that are whole by now; raises CorruptFrameError."""
        held = self._held
        held += received
        position, end = 0, len(held)
        payloads = []
        while end - position >= _HEAD.size:
            size, crc = _HEAD.unpack_from(held, position)
            if not 0 < size <= MAX_FRAME_BYTES:
                raise CorruptFrameError(f"a frame announces {size} bytes")
            start = position + _HEAD.size
            if start + size > end:
                break
            payload = bytes(memoryview(held)[start : start + size])
            if zlib.crc32(payload) != crc:
                raise CorruptFrameError(f"a frame of {size} bytes fails its CRC")
            payloads.append(payload)
            position = start + size
        del held[:position]
        return payloads
