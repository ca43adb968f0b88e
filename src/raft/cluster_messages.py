"""What brokers tell each other about the cluster's state, outside of its Raft group.

The Controller tells every broker that it is the Controller, and feeds those that do not vote: the
whole state once, then each entry.  Whoever may not decide asks the Controller to.

    TAG  MESSAGE     FIELDS
      1  Announce    generation, entry_index                 the Controller: I am
      2  Snapshot    generation, entry_index, state          the Controller to a follower
      3  Entry       generation, entry_index, payload        the Controller to a follower
      4  NeedState   -                                       a follower that missed something
      5  Ask         request_id, payload                     please decide this
      6  Answer      request_id, generation, entry_index, problem
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import CorruptCommandError
from .packed_fields import (
    pack_fields,
    read_bytes,
    read_fields,
    read_int,
    read_text,
    unpack_fields,
)


class Announce(NamedTuple):
    """`entry_index`: how far the Controller's state was when it became that."""

    generation: int
    entry_index: int


class Snapshot(NamedTuple):
    """The state as it was behind `entry_index`."""

    generation: int
    entry_index: int
    state: bytes


class Entry(NamedTuple):
    """One decision."""

    generation: int
    entry_index: int
    payload: bytes


class NeedState(NamedTuple):
    """Send the state whole."""


class Ask(NamedTuple):
    """Decide a command and answer with the index of its entry."""

    request_id: int
    payload: bytes


class Answer(NamedTuple):
    """Where a command was decided; `problem` says why it was not, or that nobody knows.

    An `entry_index` of -1: it was certainly not decided, and may be asked for again.
    """

    request_id: int
    generation: int
    entry_index: int
    problem: str


Message = Announce | Snapshot | Entry | NeedState | Ask | Answer


_LAYOUTS: dict[int, tuple[Callable[..., Message], tuple[Callable[[object], Any], ...]]] = {
    1: (Announce, (read_int, read_int)),
    2: (Snapshot, (read_int, read_int, read_bytes)),
    3: (Entry, (read_int, read_int, read_bytes)),
    4: (NeedState, ()),
    5: (Ask, (read_int, read_bytes)),
    6: (Answer, (read_int, read_int, read_int, read_text)),
}
_TAGS = {kind: tag for tag, (kind, _) in _LAYOUTS.items()}


def encode_message(message: Message) -> bytes:
    """The bytes that `decode_message` turns back into an equal message."""
    return pack_fields(_TAGS[type(message)], message)


def decode_message(data: bytes) -> Message:
    """The message of these bytes; raises CorruptCommandError."""
    tag, fields = unpack_fields(data)
    layout = _LAYOUTS.get(tag)
    if layout is None:
        raise CorruptCommandError(f"cluster message {tag} is unknown to this headrace")
    kind, readers = layout
    return kind(*read_fields(readers, fields, kind.__name__))
