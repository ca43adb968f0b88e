"""Which of two lives of a broker is the later one, told by their sessions (pure).

    BITS   FIELD
    32-55  life    counts the starts with one write-ahead log; 0 where that is not known
     1-31  chance
        0  0, as 1 marks a session that is chance alone

A folder that was put back from a copy begins a life that others have seen already, or a later one
of: it forgot votes that it gave and records that it acknowledged, so nobody may link to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

LIFE_BIT = 32
MAX_LIFE = (1 << 24) - 1
_OLD_FOLDER = "the folder is an older copy"


class Registration(Protocol):
    """What is asked of a broker's registration here."""

    @property
    def broker_id(self) -> int: ...

    @property
    def session(self) -> int: ...

    @property
    def wal_id(self) -> int: ...


@dataclass(frozen=True, slots=True)
class KnownLife:
    """The last life of a broker that was heard of."""

    wal_id: int
    session: int


NO_LIVES: Mapping[int, KnownLife] = MappingProxyType({})


def session_of(life: int, chance: int) -> int:
    """The session of a life, which no other life has; `chance` is any number."""
    low = chance & ((1 << LIFE_BIT) - 1)
    return life << LIFE_BIT | low & ~1 if 0 < life <= MAX_LIFE else chance | 1


def is_overtaken(wal_id: int, session: int, known: KnownLife | None) -> bool:
    """Whether a life is not the one known last, with the same log, and did not come after it."""
    if known is None or known.wal_id != wal_id or known.session == session:
        return False
    return 0 < _life_of(session) <= _life_of(known.session)


def old_folder(broker_id: int) -> str:
    """What an overtaken life is told."""
    return (
        f"{_OLD_FOLDER} of broker {broker_id}: what it acknowledged since, and whom it voted for, "
        "is not in it; start it with empty log.dirs, and it fetches everything"
    )


def is_of_old_folder(refusal: str) -> bool:
    """Whether a link was refused because the life is overtaken."""
    return refusal.startswith(_OLD_FOLDER)


def with_registrations(
    lives: Mapping[int, KnownLife], registrations: Iterable[Registration]
) -> dict[int, KnownLife]:
    """`lives` and, where they are no earlier ones, those of registrations."""
    newest = dict(lives)
    for each in registrations:
        if not is_overtaken(each.wal_id, each.session, newest.get(each.broker_id)):
            newest[each.broker_id] = KnownLife(each.wal_id, each.session)
    return newest


def _life_of(session: int) -> int:
    return 0 if session & 1 else session >> LIFE_BIT
