"""What brokers say to each other about Raft groups, as msgpack, checked field by field; no pickle.

    KIND            FIELDS, behind (group_id, kind)
    PRE_VOTE        term it would stand in, last_index, last_term
    PRE_VOTE_REPLY  term (the one asked for, if granted, else the voter's own), is_granted
    VOTE            term, last_index, last_term, is_transfer
    VOTE_REPLY      term; only grants are sent
    APPEND          term, commit_index, prev_index, prev_term, ((term, payload), ...)
    APPEND_REPLY    term, next_index, is_reset, is_success
    SNAPSHOT        term, entry_index, entry_term, data: the state after that committed entry
    TIMEOUT_NOW     term: stand for election at once
    QUIESCE         term, last_index, last_term: everybody has everything, stop ticking
    HIGHER_TERM     term: yours is over

A frame is a msgpack array of messages, of one turn to one peer.  Kinds from 64 on belong to the
links (`add_kinds`).  A reader's memory is bounded: an array is never longer than its frame has
bytes, and hostile nesting costs msgpack at most 1,024 arrays of 10,000 places.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgpack

from .errors import CorruptFrameError

MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_ARRAY = 1 << 16
MAX_GROUP_ID_CHARS = 256

Message = tuple[Any, ...]
FieldCheck = Callable[[object], None]


class GroupMessage(IntEnum):
    """Kinds of messages between the copies of one group."""

    PRE_VOTE = 0
    PRE_VOTE_REPLY = 1
    VOTE = 2
    VOTE_REPLY = 3
    APPEND = 4
    APPEND_REPLY = 5
    SNAPSHOT = 6
    TIMEOUT_NOW = 7
    QUIESCE = 8
    HIGHER_TERM = 9


def check_count(value: object) -> None:
    """A number from 0 to 2**62."""
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise CorruptFrameError(f"expected a count, found {value!r:.60}")


def check_bool(value: object) -> None:
    """True or False."""
    if type(value) is not bool:
        raise CorruptFrameError(f"expected a boolean, found {value!r:.60}")


def check_bytes(value: object) -> None:
    """Bytes, bounded by the frame."""
    if type(value) is not bytes:
        raise CorruptFrameError(f"expected bytes, found {value!r:.60}")


def _check_entries(value: object) -> None:
    if type(value) is not tuple:
        raise CorruptFrameError(f"expected entries, found {value!r:.60}")
    for entry in value:
        if type(entry) is not tuple or len(entry) != 2:
            raise CorruptFrameError(f"expected an entry, found {entry!r:.60}")
        check_count(entry[0])
        check_bytes(entry[1])


_COUNT = check_count
_checks: dict[int, Sequence[FieldCheck]] = {
    GroupMessage.PRE_VOTE: (_COUNT, _COUNT, _COUNT),
    GroupMessage.PRE_VOTE_REPLY: (_COUNT, check_bool),
    GroupMessage.VOTE: (_COUNT, _COUNT, _COUNT, check_bool),
    GroupMessage.VOTE_REPLY: (_COUNT,),
    GroupMessage.APPEND: (_COUNT, _COUNT, _COUNT, _COUNT, _check_entries),
    GroupMessage.APPEND_REPLY: (_COUNT, _COUNT, check_bool, check_bool),
    GroupMessage.SNAPSHOT: (_COUNT, _COUNT, _COUNT, check_bytes),
    GroupMessage.TIMEOUT_NOW: (_COUNT,),
    GroupMessage.QUIESCE: (_COUNT, _COUNT, _COUNT),
    GroupMessage.HIGHER_TERM: (_COUNT,),
}


def add_kinds(checks: Mapping[int, Sequence[FieldCheck]]) -> None:
    """Let frames carry further kinds, one check a field."""
    for kind, fields in checks.items():
        assert kind not in _checks or _checks[kind] == fields, kind
        _checks[kind] = fields


def encode_frame(messages: Sequence[Message]) -> bytes:
    """All messages of one turn to one peer."""
    frame: bytes = msgpack.packb(messages, use_bin_type=True)
    return frame


def encode_frames(messages: Sequence[Message]) -> Iterator[bytes]:
    """The same in as many frames as a receiver's bounds ask for, in order: one, but for a turn in
    which very many groups had much to say, as behind a disk that was full for long."""
    frame = encode_frame(messages)
    half = len(messages) // 2
    if not half or (len(messages) <= MAX_ARRAY and len(frame) <= MAX_FRAME_BYTES):
        yield frame
        return
    yield from encode_frames(messages[:half])
    yield from encode_frames(messages[half:])


def decode_frame(data: bytes) -> list[Message]:
    """The messages of a frame, every field checked; raises CorruptFrameError and nothing else."""
    if len(data) > MAX_FRAME_BYTES:
        raise CorruptFrameError(f"a frame of {len(data)} bytes is above {MAX_FRAME_BYTES}")
    try:
        messages = msgpack.unpackb(
            data,
            raw=False,
            use_list=False,
            max_array_len=min(MAX_ARRAY, len(data)),
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise CorruptFrameError(f"no frame: {error}") from error
    if type(messages) is not tuple:
        raise CorruptFrameError("a frame is an array of messages")
    for message in messages:
        _check_message(message)
    return list(messages)


def _check_message(message: object) -> None:
    if type(message) is not tuple or len(message) < 2:
        raise CorruptFrameError(f"expected a message, found {message!r:.60}")
    group_id, kind = message[0], message[1]
    if type(group_id) is not str or len(group_id) > MAX_GROUP_ID_CHARS:
        raise CorruptFrameError(f"expected a group id, found {group_id!r:.60}")
    checks = _checks.get(kind) if type(kind) is int else None
    if checks is None:
        raise CorruptFrameError(f"messages of kind {kind!r:.60} are unknown")
    if len(message) - 2 != len(checks):
        raise CorruptFrameError(f"a message of kind {kind} has {len(message)} fields")
    position = 2
    for check in checks:
        check(message[position])
        position += 1
