"""What clients of a cluster did and saw, as plain events that a checker can judge afterwards.

Each value is unique: `producer:number`.  A send ends in one of three ways: `ok` (acknowledged),
`failed` (refused before it was written) or `unknown` (nobody can say).  Threads may record at once.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

Partition = tuple[str, int]
"""(topic, index)."""


class Outcome(Enum):
    """How a send ended, as far as its sender knows."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Send:
    """One record that a producer tried to write; `offset` is what it was told, or -1."""

    producer: str
    number: int
    partition: Partition
    outcome: Outcome
    invoked_s: float
    ended_s: float
    offset: int = -1

    @property
    def value(self) -> bytes:
        return value_of(self.producer, self.number)


@dataclass(frozen=True, slots=True)
class Seen:
    """One record that a reader was given."""

    reader: str
    partition: Partition
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Committed:
    """An offset that a group's coordinator told as committed, in the order in which it did."""

    group: str
    partition: Partition
    offset: int


@dataclass
class History:
    """All of one run; `idempotent` are the producers whose records must not come twice."""

    sends: list[Send] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    committed: list[Committed] = field(default_factory=list)
    idempotent: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note_send(self, send: Send) -> None:
        with self._lock:
            self.sends.append(send)

    def note_seen(self, seen: Iterable[Seen]) -> None:
        with self._lock:
            self.seen.extend(seen)

    def note_committed(self, committed: Committed) -> None:
        with self._lock:
            self.committed.append(committed)

    def acknowledged(self) -> list[Send]:
        with self._lock:
            return [send for send in self.sends if send.outcome == Outcome.OK]

    def acknowledged_times(self) -> dict[Partition, list[float]]:
        """When each partition acknowledged, in order: what availability is read from."""
        times: dict[Partition, list[float]] = defaultdict(list)
        for send in self.acknowledged():
            times[send.partition].append(send.ended_s)
        return {partition: sorted(found) for partition, found in times.items()}


def value_of(producer: str, number: int) -> bytes:
    """The value of one send."""
    return f"{producer}:{number}".encode()


def parse_value(value: bytes) -> tuple[str, int]:
    """(producer, number); raises ValueError for a value that nobody of ours wrote."""
    producer, _, number = value.decode().rpartition(":")
    return producer, int(number)


def now_s() -> float:
    """The clock of every event of a history."""
    return time.monotonic()
