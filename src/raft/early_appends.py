"""What leaves a broker before this turn's batch is on its disk: a leader's entries, nothing else.

The followers write them to their disks while the leader writes them to its own (Raft thesis
10.2.1), so that a decision waits for one sync and not for two, one behind the other.  Everything
else waits: a vote, an acknowledgement or an outcome is a promise that the batch justifies.  An
APPEND promises nothing about the leader's disk:

    its entries       If the leader dies and forgets them, they are of a term that it never leads
                      again: to stand it must go to a later one.
    its term          The leader voted for itself in it in an earlier turn, since votes take one to
                      come.  All the same nothing goes early with a batch that has more than
                      entries.
    its commit index  The leader counts itself for whatever followers acknowledged.  That was sent
                      in an earlier turn, whose batch was synced before the next turn began; but
                      not where a full disk keeps the batch back.  Then nothing goes early.

Messages to one broker stay in order: only those that stand first go early.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from .message_codec import GroupMessage
from .wal_format import WalRecord, WalRecordKind

EARLY_MESSAGES = frozenset({GroupMessage.APPEND})
EARLY_RECORDS = frozenset({WalRecordKind.ENTRY})


def may_send_early(
    records: Iterable[WalRecord],
    *,
    is_held: bool,
    allowed: Collection[int] = EARLY_RECORDS,
) -> bool:
    """Whether anything may leave before these records are on disk; `is_held`: by a full one."""
    return not is_held and all(record.kind in allowed for record in records)


def count_early(
    messages: Sequence[tuple[Any, ...]], allowed: Collection[int] = EARLY_MESSAGES
) -> int:
    """How many of the messages to one broker may leave early: those before the first that waits."""
    for number, message in enumerate(messages):
        if message[1] not in allowed:
            return number
    return len(messages)
