"""What brokers say to each other on a link beside Raft itself: kinds, fields, and their checks.

    KIND            SUBJECT         FIELDS
    PING            ""              quiesced_count, quiesced_hash: what the sender leads, asleep
    ASLEEP          ""              ((group_id, term), ...): the groups behind that digest
    PROPOSE         group id        request_id, timeout_ms, payload
    PROPOSED        group id        request_id, entry_index, result (int, bytes or nothing)
    REFUSED         group id        request_id, reason (`RefusalReason`), controller_id or -1, text
    SEED            base group id   generation, voters, old_voters, seed
    SEED_ACK        base group id   generation
    LOOP_MESSAGE    channel         body, between the brokers' loop threads

A message is `(subject, kind, *fields)`.  Kinds below 64 are `RaftGroup`'s own.
"""

from collections.abc import Sequence
from enum import IntEnum

from .errors import (
    CorruptFrameError,
    GroupSealedError,
    NotControllerError,
    ReplicationError,
    UnknownOutcomeError,
)
from .message_codec import FieldCheck, add_kinds, check_bytes, check_count

MAX_VOTERS = 64
MAX_TEXT = 1024
NO_BROKER = -1


class LinkMessage(IntEnum):
    """Kinds of messages that no group handles."""

    PING = 64
    ASLEEP = 65
    PROPOSE = 66
    PROPOSED = 67
    REFUSED = 68
    SEED = 69
    SEED_ACK = 70
    LOOP_MESSAGE = 71


class RefusalReason(IntEnum):
    """Why a forwarded proposal has no result."""

    NOT_CONTROLLER = 1
    UNKNOWN_OUTCOME = 2
    GROUP_SEALED = 3
    OTHER = 4


def reason_of(error: ReplicationError) -> RefusalReason:
    """The reason that tells the asking broker the same as `error` tells here."""
    if isinstance(error, NotControllerError):
        return RefusalReason.NOT_CONTROLLER
    if isinstance(error, UnknownOutcomeError):
        return RefusalReason.UNKNOWN_OUTCOME
    if isinstance(error, GroupSealedError):
        return RefusalReason.GROUP_SEALED
    return RefusalReason.OTHER


def error_of(reason: int, text: str) -> ReplicationError:
    """The error for a reason that came over a link, NOT_CONTROLLER excepted."""
    if reason == RefusalReason.UNKNOWN_OUTCOME:
        return UnknownOutcomeError(text)
    if reason == RefusalReason.GROUP_SEALED:
        return GroupSealedError(text)
    return ReplicationError(text)


def _check_broker(value: object) -> None:
    if type(value) is not int or not NO_BROKER <= value < 1 << 31:
        raise CorruptFrameError(f"expected a broker id, found {value!r:.60}")


def _check_text(value: object) -> None:
    if type(value) is not str or len(value) > MAX_TEXT:
        raise CorruptFrameError(f"expected a short text, found {value!r:.60}")


def _check_result(value: object) -> None:
    if type(value) is int:
        if not -(1 << 63) <= value < 1 << 63:
            raise CorruptFrameError(f"a result of {value} is out of range")
    elif value is not None:
        check_bytes(value)


def _check_voters(value: object) -> None:
    if not isinstance(value, tuple) or len(value) > MAX_VOTERS:
        raise CorruptFrameError(f"expected voters, found {value!r:.60}")
    for broker_id in value:
        check_count(broker_id)
        _check_broker(broker_id)


def _check_sleepers(value: object) -> None:
    if not isinstance(value, tuple):
        raise CorruptFrameError(f"expected groups, found {value!r:.60}")
    for pair in value:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise CorruptFrameError(f"expected a group and its term, found {pair!r:.60}")
        _check_text(pair[0])
        check_count(pair[1])


FIELD_CHECKS: dict[int, Sequence[FieldCheck]] = {
    LinkMessage.PING: (check_count, check_count),
    LinkMessage.ASLEEP: (_check_sleepers,),
    LinkMessage.PROPOSE: (check_count, check_count, check_bytes),
    LinkMessage.PROPOSED: (check_count, check_count, _check_result),
    LinkMessage.REFUSED: (check_count, check_count, _check_broker, _check_text),
    LinkMessage.SEED: (check_count, _check_voters, _check_voters, check_bytes),
    LinkMessage.SEED_ACK: (check_count,),
    LinkMessage.LOOP_MESSAGE: (check_bytes,),
}


add_kinds(FIELD_CHECKS)
