"""Seeds on their way: the first state of a group's next generation, to everybody it concerns.

A seed is kept in the write-ahead log, as a group of its own that never takes part in anything,
until all have acknowledged it; so it survives the sender's restart.  Where the loop thread itself
journals what a broker does with the new generation, it journals the seed in the same batch
(`images_of_seed`): else the sender might be in that generation, or out of it, and have forgotten
whom to tell.  All else is the Raft thread's.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from .link_messages import LinkMessage
from .packed_fields import (
    pack_fields,
    read_bytes,
    read_fields,
    read_int,
    read_text,
    tuple_of,
    unpack_fields,
)
from .raft_wal import GroupImage, RaftWal, TakeImage
from .wal_format import WalRecord, WalRecordKind

SEED_PREFIX = "seed:"  # of the group id under which a seed is journaled
_TAG = 1
_READERS = (read_text, read_int, tuple_of(read_int), tuple_of(read_int), read_bytes)

SeedKey = tuple[str, int]
OnSeed = Callable[[str, int, tuple[int, ...], bytes], None]


@dataclass(slots=True)
class PendingSeed:
    """One seed and who has not acknowledged it."""

    base_id: str
    generation: int
    voters: tuple[int, ...]
    old_voters: tuple[int, ...]
    seed: bytes
    waiting: set[int] = field(default_factory=set)
    next_send_s: float = 0.0

    @property
    def group_id(self) -> str:
        """Under which it stands in the write-ahead log."""
        return f"{SEED_PREFIX}{self.base_id}@{self.generation}"

    def to_bytes(self) -> bytes:
        fields = [self.base_id, self.generation, self.voters, self.old_voters, self.seed]
        return pack_fields(_TAG, fields)

    @classmethod
    def from_bytes(cls, data: bytes) -> "PendingSeed":
        _, fields = unpack_fields(data)
        return cls(*read_fields(_READERS, fields, "a seed"))

    def take_image(self) -> GroupImage:
        return GroupImage(1, 0, self.to_bytes())


def images_of_seed(wal: RaftWal, seed: PendingSeed | None) -> Mapping[str, TakeImage]:
    """What `RaftWal.begin_groups` is to begin beside a sender's own group, for `seed` to last."""
    if seed is None or wal.is_attached(seed.group_id):
        return {}
    return {seed.group_id: seed.take_image}


def base_id_of_seed(group_id: str) -> str | None:
    """The group whose seed is journaled as `group_id`; None for any other entry."""
    if not group_id.startswith(SEED_PREFIX):
        return None
    return group_id.removeprefix(SEED_PREFIX).rpartition("@")[0]


class SeedSender:
    """See the module.  `deliver` hands a seed to this broker's own loop thread."""

    def __init__(
        self,
        *,
        broker_id: int,
        wal: RaftWal,
        journal: Callable[[WalRecord], None],
        send: Callable[[int, tuple[object, ...]], bool],
        deliver: OnSeed,
        retry_s: float,
    ) -> None:
        self._broker_id = broker_id
        self._wal = wal
        self._journal = journal
        self._send = send
        self._deliver = deliver
        self._retry_s = retry_s
        self._pending: dict[SeedKey, PendingSeed] = {}
        self._senders: dict[SeedKey, set[int]] = {}
        self.next_send_s = float("inf")
        for group_id in wal.replay():
            if group_id.startswith(SEED_PREFIX):
                self._resume(group_id)

    @property
    def pending_count(self) -> int:
        return len(self._pending)

    def add_seed(self, pending: PendingSeed, now_s: float) -> None:
        """Keep a new seed and send it; one that is under way already stays as it is."""
        key = (pending.base_id, pending.generation)
        if key in self._pending:
            return
        if not self._wal.is_attached(pending.group_id):  # else the loop thread has journaled it
            self._wal.attach_group(pending.group_id, pending.take_image)
            record = WalRecord(WalRecordKind.SNAPSHOT, pending.group_id, 1, 0, pending.to_bytes())
            self._journal(record)
        self._begin(pending, now_s)

    def send_due(self, now_s: float) -> None:
        """Send again what was not acknowledged in time."""
        if now_s < self.next_send_s:
            return
        for pending in self._pending.values():
            if pending.next_send_s <= now_s:
                self._send_to(pending, pending.waiting)
                pending.next_send_s = now_s + self._retry_s
        self._plan()

    def peer_up(self, broker_id: int) -> None:
        for pending in self._pending.values():
            if broker_id in pending.waiting:
                self._send_to(pending, {broker_id})

    def seed_arrived(
        self, from_id: int, base_id: str, generation: int, voters: tuple[int, ...], seed: bytes
    ) -> None:
        """Hand a seed up; whoever sent it hears of it once it is durable here."""
        self._senders.setdefault((base_id, generation), set()).add(from_id)
        self._deliver(base_id, generation, voters, seed)

    def acknowledge(self, base_id: str, generation: int) -> None:
        """This broker has the generation; tell all that sent its seed."""
        for broker_id in self._senders.pop((base_id, generation), set()):
            self._send(broker_id, (base_id, LinkMessage.SEED_ACK, generation))
        self.acknowledged(self._broker_id, base_id, generation)

    def acknowledged(self, by_id: int, base_id: str, generation: int) -> None:
        """`by_id` has the generation; with the last of them the seed is forgotten."""
        pending = self._pending.get((base_id, generation))
        if pending is None:
            return
        pending.waiting.discard(by_id)
        if not pending.waiting:
            del self._pending[(base_id, generation)]
            self._forget(pending)
            self._plan()

    def drop_seeds(self, base_ids: Container[str]) -> None:
        """These groups are no more: nobody waits for their next generations."""
        dropped = [key for key in self._pending if key[0] in base_ids]
        for key in dropped:
            self._forget(self._pending.pop(key))
        for key in [key for key in self._senders if key[0] in base_ids]:
            del self._senders[key]
        if dropped:
            self._plan()

    def _forget(self, pending: PendingSeed) -> None:
        self._journal(WalRecord(WalRecordKind.FORGET, pending.group_id, 0, 0, b""))

    def _resume(self, group_id: str) -> None:
        """Take up a seed that an earlier life of this broker left in the log."""
        image = self._wal.replay()[group_id]
        pending = PendingSeed.from_bytes(image.snapshot)
        self._wal.attach_group(group_id, pending.take_image)
        pending.waiting = {*pending.voters, *pending.old_voters}
        self._pending[(pending.base_id, pending.generation)] = pending
        self.next_send_s = 0.0

    def _begin(self, pending: PendingSeed, now_s: float) -> None:
        pending.waiting = {*pending.voters, *pending.old_voters}
        pending.next_send_s = now_s + self._retry_s
        self._pending[(pending.base_id, pending.generation)] = pending
        self._send_to(pending, pending.waiting)
        self._plan()

    def _send_to(self, pending: PendingSeed, broker_ids: set[int]) -> None:
        message = (
            pending.base_id,
            LinkMessage.SEED,
            pending.generation,
            pending.voters,
            pending.old_voters,
            pending.seed,
        )
        for broker_id in sorted(broker_ids):
            if broker_id == self._broker_id:
                self._deliver(pending.base_id, pending.generation, pending.voters, pending.seed)
            else:
                self._send(broker_id, message)

    def _plan(self) -> None:
        times = [pending.next_send_s for pending in self._pending.values()]
        self.next_send_s = min(times, default=float("inf"))
