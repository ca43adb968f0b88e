"""Typed tuples in msgpack, checked strictly: the form of every command and snapshot of this floor.

A packed value is one msgpack array `[tag, field, ...]`.  The reader knows each field's type and
refuses anything else with `CorruptCommandError`, so that no half-read command reaches a state
machine.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from .errors import CorruptCommandError

MAX_PACKED_BYTES = 64 * 1024 * 1024
"""Above this a packed value is refused unread; 100,000 partitions are a tenth of it."""

FieldReader = Callable[[object], Any]


def pack_fields(tag: int, fields: Sequence[object]) -> bytes:
    """`[tag, *fields]` as msgpack."""
    packed: bytes = msgpack.packb([tag, *fields], use_bin_type=True)
    return packed


def unpack_fields(data: bytes) -> tuple[int, list[object]]:
    """(tag, fields) of what `pack_fields` made; raises CorruptCommandError."""
    if len(data) > MAX_PACKED_BYTES:
        raise CorruptCommandError(f"{len(data)} bytes are above the bound of {MAX_PACKED_BYTES}")
    try:
        values = msgpack.unpackb(data, raw=False, strict_map_key=True, use_list=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise CorruptCommandError(f"no msgpack array: {error}") from error
    if not isinstance(values, list) or not values:
        raise CorruptCommandError("a packed value must be an array that starts with its tag")
    return read_int(values[0]), values[1:]


def read_fields(readers: Sequence[FieldReader], fields: Sequence[object], what: str) -> list[Any]:
    """`fields`, each through its reader; too many or too few are refused."""
    if len(fields) != len(readers):
        raise CorruptCommandError(
            f"{what} has {len(fields)} fields where this version of headrace knows {len(readers)}"
        )
    return [reader(field) for reader, field in zip(readers, fields, strict=True)]


def read_int(value: object) -> int:
    """A signed 64-bit integer."""
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise CorruptCommandError(f"expected a 64-bit integer, found {value!r:.60}")
    return value


def read_bool(value: object) -> bool:
    """True or False, no number."""
    if type(value) is not bool:
        raise CorruptCommandError(f"expected a boolean, found {value!r:.60}")
    return value


def read_text(value: object) -> str:
    """UTF-8 text."""
    if type(value) is not str:
        raise CorruptCommandError(f"expected text, found {value!r:.60}")
    return value


def read_optional_text(value: object) -> str | None:
    """UTF-8 text or nothing."""
    return None if value is None else read_text(value)


def read_bytes(value: object) -> bytes:
    """Any bytes."""
    if type(value) is not bytes:
        raise CorruptCommandError(f"expected bytes, found {value!r:.60}")
    return value


def read_uuid(value: object) -> bytes:
    """Sixteen bytes."""
    if type(value) is not bytes or len(value) != 16:
        raise CorruptCommandError(f"expected a 16-byte id, found {value!r:.60}")
    return value


def tuple_of(reader: FieldReader) -> FieldReader:
    """A reader of a tuple whose every element `reader` accepts."""

    def read_tuple(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise CorruptCommandError(f"expected an array, found {value!r:.60}")
        return tuple([reader(element) for element in value])

    return read_tuple


def record_of(*readers: FieldReader) -> FieldReader:
    """A reader of a tuple of fixed length, one reader an element."""

    def read_record(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise CorruptCommandError(f"expected an array, found {value!r:.60}")
        return tuple(read_fields(readers, value, "an array"))

    return read_record
