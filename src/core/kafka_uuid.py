"""Kafka's 128-bit ids: 16 bytes in memory and on the wire, 22 letters of base64url in text."""

import base64
import binascii

from .clock import Clock

ZERO_UUID = bytes(16)
ONE_UUID = bytes(15) + b"\x01"
TEXT_LENGTH = 22

_RESERVED = frozenset((ZERO_UUID, ONE_UUID))


def uuid_to_text(uuid: bytes) -> str:
    """The 22 letters Kafka prints for an id."""
    assert len(uuid) == 16, len(uuid)
    return base64.urlsafe_b64encode(uuid)[:TEXT_LENGTH].decode("ascii")


def uuid_to_hex(uuid: bytes) -> str:
    """The 32 digits with four dashes that the rest of the world prints, and Kafka in member ids."""
    digits = uuid.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def uuid_from_text(text: str) -> bytes:
    """The id that `text` spells; ValueError where it is none."""
    if len(text) != TEXT_LENGTH:
        raise ValueError(f"{text!r} is no id: it takes {TEXT_LENGTH} letters of base64url")
    try:
        uuid = base64.b64decode(text.encode("ascii") + b"==", altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"{text!r} is no id in base64url: {error}") from error
    return uuid


def random_uuid(clock: Clock) -> bytes:
    """A new version 4 id: never a reserved one, and its text never starts with a dash,
    which a command line would take for a flag."""
    while True:
        uuid = bytearray(clock.random_bytes(16))
        uuid[6] = (uuid[6] & 0x0F) | 0x40
        uuid[8] = (uuid[8] & 0x3F) | 0x80
        made = bytes(uuid)
        if made not in _RESERVED and not uuid_to_text(made).startswith("-"):
            return made
