"""Who is up, judged by answered frames; what must wake when that changes; the quiesce digest.

A broker is up once a frame of its own came back over a link, because the kernel completes TCP
handshakes for a process that is stopped; it is down with a reset, or after `dead_after_s` without
a byte.  One link a pair of brokers stands for every group that both vote in.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from .link_hello import LinkHello


@dataclass(frozen=True, slots=True)
class RaftTiming:
    """The periods of the Raft thread, in seconds."""

    ping_interval_s: float = 0.1
    ping_slack_s: float = 0.03
    """How much earlier a ping may leave, in a turn that is taken anyway."""
    dead_after_s: float = 0.6
    silent_after_s: float = 0.25
    """Who is not heard for so long may be about to be replaced: no election begins with that."""
    tick_interval_s: float = 0.05
    """How often an awake group looks at its timers."""
    turn_s: float = 0.03
    """When a turn syncs and sends what it has, and leaves the rest to the next."""
    sync_patience_s: float = 3.0
    """So long others are told that this broker lives while it waits for its disk."""
    dial_timeout_s: float = 1.0
    answer_timeout_s: float = 3.0
    """For the answer to a hello that was sent, and for the frame that proves a link."""
    dial_retry_s: float = 0.2
    lower_id_waits_s: float = 0.5
    """The higher id dials; if it does not know how, the lower one does after this."""
    seed_retry_s: float = 2.0
    proposal_retry_s: float = 0.02
    """How soon a proposal asks again where no controller was known."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One live broker, as it introduced itself on its link."""

    broker_id: int
    incarnation: int
    session: int
    host: str
    port: int
    rack: str | None = None
    wal_id: int = 0
    is_up: bool = True

    @classmethod
    def of_hello(cls, hello: LinkHello) -> "Peer":
        return cls(
            broker_id=hello.broker_id,
            incarnation=hello.incarnation,
            session=hello.session,
            host=hello.host,
            port=hello.port,
            rack=hello.rack,
            wal_id=hello.wal_id,
        )


class WatchedGroup(Protocol):
    """What is asked of a group here; `RaftGroup` is one."""

    group_id: str
    voters: tuple[int, ...]

    @property
    def term(self) -> int: ...

    @property
    def leader_id(self) -> int | None: ...

    @property
    def sleeping_voters(self) -> tuple[int, ...]: ...


class WakeLists:
    """Which groups have a broker among their voters: whoever is told when it comes or goes."""

    def __init__(self) -> None:
        self._groups: dict[int, dict[str, WatchedGroup]] = {}

    def add_group(self, group: WatchedGroup) -> None:
        for broker_id in group.voters:
            self._groups.setdefault(broker_id, {})[group.group_id] = group

    def drop_group(self, group: WatchedGroup) -> None:
        for broker_id in group.voters:
            self._groups[broker_id].pop(group.group_id, None)

    def group_ids_of(self, broker_id: int) -> list[str]:
        """Ids of the groups in which `broker_id` votes."""
        return list(self._groups.get(broker_id, ()))


def group_hash(group_id: str, term: int) -> int:
    """What one quiesced group adds to a digest; equal for equal (id, term)."""
    low_term = term & 0x3FFFFFFF
    return zlib.crc32(group_id.encode(), low_term) | low_term << 32


class QuiesceDigest:
    """Count and xor-hash of the groups that sleep, by the broker that leads them and who follows.

    A leader's digest towards a follower, sent in its pings, must equal what the follower holds for
    that leader; if it does not, one of the two sleeps alone, and both compare their lists.
    """

    def __init__(self, broker_id: int) -> None:
        self._broker_id = broker_id
        self._noted: dict[str, tuple[int, int, tuple[int, ...]]] = {}
        self._sums: dict[tuple[int, int], list[int]] = {}

    def note_asleep(self, group: WatchedGroup) -> None:
        """`group` stopped ticking, under the leader and the term it has now."""
        self.note_awake(group.group_id)
        leader_id = group.leader_id
        if leader_id is None:
            return
        noted = (leader_id, group.term, group.sleeping_voters)
        self._noted[group.group_id] = noted
        self._add(group.group_id, noted, 1)

    def note_awake(self, group_id: str) -> None:
        noted = self._noted.pop(group_id, None)
        if noted is not None:
            self._add(group_id, noted, -1)

    def digest(self, leader_id: int, follower_id: int) -> tuple[int, int]:
        """(count, hash) of the groups that `leader_id` leads and `follower_id` follows, asleep."""
        count, total = self._sums.get((leader_id, follower_id), (0, 0))
        return count, total

    def asleep(self, leader_id: int, follower_id: int) -> dict[str, int]:
        """group id -> term of the groups behind `digest`."""
        return {
            group_id: term
            for group_id, (leads, term, voters) in self._noted.items()
            if leads == leader_id and follower_id in voters
        }

    def _add(self, group_id: str, noted: tuple[int, int, tuple[int, ...]], sign: int) -> None:
        leader_id, term, voters = noted
        followers: Iterable[int] = voters if leader_id == self._broker_id else (self._broker_id,)
        value = group_hash(group_id, term)
        for follower_id in followers:
            if follower_id != leader_id:
                sums = self._sums.setdefault((leader_id, follower_id), [0, 0])
                sums[0] += sign
                sums[1] ^= value
