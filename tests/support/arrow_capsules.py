"""A reader of Arrow's PyCapsule interface in ctypes: what is exported, as plain lists."""

import ctypes
from collections.abc import Iterator
from itertools import pairwise
from typing import Any


class Schema(ctypes.Structure):
    pass


class Array(ctypes.Structure):
    pass


class Stream(ctypes.Structure):
    pass


RELEASE_SCHEMA = ctypes.CFUNCTYPE(None, ctypes.POINTER(Schema))
RELEASE_ARRAY = ctypes.CFUNCTYPE(None, ctypes.POINTER(Array))
RELEASE_STREAM = ctypes.CFUNCTYPE(None, ctypes.POINTER(Stream))
GET_SCHEMA = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Stream), ctypes.POINTER(Schema))
GET_NEXT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Stream), ctypes.POINTER(Array))
GET_ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(Stream))

Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(Schema))),
    ("dictionary", ctypes.POINTER(Schema)),
    ("release", RELEASE_SCHEMA),
    ("private_data", ctypes.c_void_p),
]
Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(Array))),
    ("dictionary", ctypes.POINTER(Array)),
    ("release", RELEASE_ARRAY),
    ("private_data", ctypes.c_void_p),
]
Stream._fields_ = [
    ("get_schema", GET_SCHEMA),
    ("get_next", GET_NEXT),
    ("get_last_error", GET_ERROR),
    ("release", RELEASE_STREAM),
    ("private_data", ctypes.c_void_p),
]

_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def struct_of(capsule: object, name: bytes, kind: Any) -> Any:
    """The struct in a capsule, where it stands: taking it is up to the caller."""
    return ctypes.cast(_get_pointer(capsule, name), ctypes.POINTER(kind)).contents


def field_formats(schema: Any) -> dict[str, str]:
    """The fields of a struct's schema: name -> Arrow's format."""
    assert schema.format == b"+s"
    fields = [schema.children[i].contents for i in range(schema.n_children)]
    return {field.name.decode(): field.format.decode() for field in fields}


def column_values(array: Any, layout: str) -> list[Any]:
    """One column as a list; None for null."""
    buffers = array.buffers
    if layout == "+l":
        pairs = array.children[0].contents
        parts = (column_values(pairs.children[at].contents, "z") for at in (0, 1))
        items = list(zip(*parts, strict=True))
        ends = [_integer(buffers[1], 4 * at, 4) for at in range(array.length + 1)]
        return [items[start:end] for start, end in pairwise(ends)]
    values = []
    for i in range(array.offset, array.offset + array.length):
        if array.null_count and not ctypes.string_at(buffers[0] + i // 8, 1)[0] >> i % 8 & 1:
            values.append(None)
        else:
            values.append(_element(buffers, i, layout))
    return values


def _element(buffers: Any, i: int, layout: str) -> Any:
    if layout == "i":
        return _integer(buffers[1], 4 * i, 4)
    if layout in ("l", "tsm:UTC"):
        return _integer(buffers[1], 8 * i, 8)
    if layout == "vz":
        size = _integer(buffers[1], 16 * i, 4)
        if size <= 12:
            return ctypes.string_at(buffers[1] + 16 * i + 4, size)
        piece, offset = (_integer(buffers[1], 16 * i + at, 4) for at in (8, 12))
        found = ctypes.string_at(buffers[2 + piece] + offset, size)
        assert found[:4] == ctypes.string_at(buffers[1] + 16 * i + 4, 4)
        return found
    width = {"z": 4, "Z": 8}[layout]
    start, end = (_integer(buffers[1], width * at, width) for at in (i, i + 1))
    return ctypes.string_at(buffers[2] + start, end - start)


def _integer(address: int, position: int, width: int) -> int:
    return int.from_bytes(ctypes.string_at(address + position, width), "little", signed=True)


def table_of(array: Any, schema: Any) -> dict[str, list[Any]]:
    """A struct array as name -> list."""
    formats = field_formats(schema)
    assert array.n_children == len(formats)
    return {
        name: column_values(array.children[i].contents, layout)
        for i, (name, layout) in enumerate(formats.items())
    }


def read_array(source: Any, requested_schema: object = None) -> dict[str, list[Any]]:
    """What `__arrow_c_array__` gives, released again."""
    schema_capsule, array_capsule = source.__arrow_c_array__(requested_schema)
    schema = struct_of(schema_capsule, b"arrow_schema", Schema)
    array = struct_of(array_capsule, b"arrow_array", Array)
    table = table_of(array, schema)
    array.release(array)
    schema.release(schema)
    assert not array.release
    assert not schema.release
    return table


def read_stream(source: Any, requested_schema: object = None) -> Iterator[dict[str, list[Any]]]:
    """The batches of `__arrow_c_stream__`, each released before the next; OSError if it fails."""
    capsule = source.__arrow_c_stream__(requested_schema)
    stream = struct_of(capsule, b"arrow_array_stream", Stream)
    schema, array = Schema(), Array()
    try:
        _check(stream, stream.get_schema(stream, schema))
        while True:
            _check(stream, stream.get_next(stream, array))
            if not array.release:
                return
            yield table_of(array, schema)
            array.release(array)
    finally:
        if schema.release:
            schema.release(schema)
        stream.release(stream)


def _check(stream: Any, code: int) -> None:
    if code:
        said = stream.get_last_error(stream)
        raise OSError(code, ctypes.string_at(said).decode() if said else "")
