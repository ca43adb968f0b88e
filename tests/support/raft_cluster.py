"""Raft groups on an imagined network, clock and disk: nothing waits, nothing is random by itself.

`RaftCluster` holds brokers with copies of one group, or more of its generations.  Messages wait in
one queue a direction of a link, in order; a test delivers them.  A member's disk keeps what was
synced, and loses the turn in which the member crashes.
"""

import copy
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import msgpack

from headrace.raft.early_appends import (
    EARLY_MESSAGES,
    EARLY_RECORDS,
    count_early,
    may_send_early,
)
from headrace.raft.message_codec import decode_frame, encode_frame
from headrace.raft.raft_group import RaftGroup
from headrace.raft.wal_format import WalRecord
from headrace.raft.wal_replay import GroupImage, replay_record

GROUP_ID = "partition-x-0"
TICK_S = 0.05
MAX_ROUNDS = 1000


class ListMachine:
    """A list of payloads; `seal:1,2,3` names the voters of the next generation."""

    def __init__(self, own_generation: int = 0) -> None:
        self.payloads: list[bytes] = []
        self._own_generation = own_generation
        self._generation = own_generation
        self._voters: tuple[int, ...] = ()

    @property
    def successor(self) -> tuple[int, ...] | None:
        return self._voters if self._generation > self._own_generation else None

    def apply(self, payload: bytes) -> object:
        if payload == b"raise":
            raise RuntimeError("a machine's bug")
        self.payloads.append(payload)
        if payload.startswith(b"seal:"):
            self._generation += 1
            self._voters = tuple(int(voter) for voter in payload[5:].split(b","))
        return len(self.payloads)

    def to_bytes(self) -> bytes:
        packed: bytes = msgpack.packb([self.payloads, self._generation, self._voters])
        return packed

    def load(self, data: bytes) -> None:
        self.payloads, self._generation, voters = msgpack.unpackb(data)
        self._voters = tuple(voters)


def generation_of(group_id: str) -> int:
    return int(group_id.partition("@")[2] or 0)


class Member:
    """One broker: the environment of its groups, its disk and what it has been told."""

    def __init__(self, cluster: "RaftCluster", broker_id: int) -> None:
        self.cluster = cluster
        self.broker_id = broker_id
        self.disk: dict[str, GroupImage] = {}
        self.session = 0
        self.is_running = False
        self.is_held = False
        """Whether a full disk kept back the turn before."""
        self.applied: list[tuple[int, bytes | None, object]] = []
        self.roles: list[bool] = []
        self.sync_count = 0
        self.sent_count = 0
        self.tick_count = 0
        self.awake: set[str] = set()
        self.groups: dict[str, Any] = {}
        self._forget_turn()

    @property
    def group(self) -> Any:
        """The copy of the group that most tests have only one of."""
        return self.groups[GROUP_ID]

    @property
    def is_awake(self) -> bool:
        return bool(self.awake)

    def _forget_turn(self) -> None:
        self.batch: list[WalRecord] = []
        self.outbox: list[tuple[int, tuple[Any, ...]]] = []
        self.calls: list[Callable[[], None]] = []
        self.dirty: set[str] = set()

    def start(self) -> None:
        """Open every group that the disk holds, or the one that the cluster begins with."""
        self.session += 1
        self.is_running = True
        for group_id in list(self.disk) or [GROUP_ID]:
            self.open_group(group_id, self.cluster.voters)

    def open_group(self, group_id: str, voters: tuple[int, ...]) -> None:
        image = copy.deepcopy(self.disk.get(group_id, GroupImage()))
        self.groups[group_id] = self.cluster.make_group(self, group_id, voters, image)

    def crash(self) -> None:
        """Stop; what was not synced is gone."""
        self.is_running = self.is_held = False
        self.awake.clear()
        self.groups.clear()
        self._forget_turn()

    # -- the environment of the group

    def monotonic_s(self) -> float:
        return self.cluster.now_s

    def random_float(self) -> float:
        return self.cluster.random.random()

    def send(self, broker_id: int, group_id: str, message: tuple[Any, ...]) -> bool:
        assert message[0] == group_id
        self.outbox.append((broker_id, message))
        self.sent_count += 1
        return True

    def is_up(self, broker_id: int) -> bool:
        return self.cluster.is_linked(self.broker_id, broker_id)

    def journal(self, record: WalRecord) -> None:
        self.batch.append(record)

    def after_sync(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def mark_dirty(self, group: RaftGroup) -> None:
        self.dirty.add(group.group_id)

    def set_awake(self, group: RaftGroup, is_awake: bool) -> None:
        (self.awake.add if is_awake else self.awake.discard)(group.group_id)

    def on_applied(
        self, group: RaftGroup, entry_index: int, payload: bytes | None, result: object
    ) -> None:
        entry_term = group.journal.term_at(entry_index)

        def tell() -> None:
            self.applied.append((entry_index, payload, result))
            self.cluster.note_applied(self, group, entry_index, entry_term, payload)

        self.calls.append(tell)

    def on_role(self, _group: RaftGroup, is_controller: bool) -> None:
        self.roles.append(is_controller)

    # -- the turn

    def finish_ticks(self) -> None:
        """Tick while a group is dirty."""
        while self.dirty:
            group_id = min(self.dirty)
            self.dirty.discard(group_id)
            if group_id in self.groups:
                self.tick_count += 1
                self.groups[group_id].tick(self.cluster.now_s)

    def send_early(self) -> None:
        """Send what need not wait for the turn's records to be durable."""
        cluster = self.cluster
        is_held = self.is_held and cluster.minds_full_disks
        if not may_send_early(self.batch, is_held=is_held, allowed=cluster.early_records):
            return
        waiting: list[tuple[int, tuple[Any, ...]]] = []
        by_broker: dict[int, list[tuple[Any, ...]]] = {}
        for to_id, message in self.outbox:
            by_broker.setdefault(to_id, []).append(message)
        for to_id, messages in by_broker.items():
            count = count_early(messages, cluster.early_messages)
            waiting += [(to_id, message) for message in messages[count:]]
            for message in messages[:count]:
                cluster.carry(self.broker_id, to_id, message)
        self.outbox = waiting

    def sync(self) -> None:
        """Make the turn's records durable, then let its calls and messages go."""
        self.send_early()
        self.write_disk()
        self.is_held = False
        calls, outbox = self.calls, self.outbox
        self._forget_turn()
        for call in calls:
            call()
        for to_id, message in outbox:
            self.cluster.carry(self.broker_id, to_id, message)

    def hold(self) -> None:
        """End the turn on a full disk: nothing is durable, and what waits for that goes on to."""
        self.finish_ticks()
        self.send_early()
        self.is_held = bool(self.batch)

    def write_disk(self) -> None:
        """Make what was journaled in this turn durable."""
        if self.batch:
            self.sync_count += 1
            for record in self.batch:
                replay_record(self.disk, record)
            self.batch = []

    def checkpoint(self) -> None:
        """Replace what the disk holds by the groups' images, as the log does when it has grown."""
        for group_id, group in self.groups.items():
            self.disk[group_id] = copy.deepcopy(group.take_image())

    def receive(self, from_id: int, message: tuple[Any, ...]) -> None:
        """A message for whichever group it names, if this broker has it."""
        group = self.groups.get(message[0])
        if group is not None:
            group.receive(from_id, message)

    def finish_turn(self) -> None:
        while self.dirty or self.batch or self.calls or self.outbox:
            self.finish_ticks()
            self.sync()


class RaftCluster:
    """Brokers 1 to n, each with a copy of one group, and the links between them."""

    group_class: type[Any] = RaftGroup
    early_messages = EARLY_MESSAGES
    early_records = EARLY_RECORDS
    minds_full_disks = True

    def __init__(self, size: int = 3, *, seed: int = 0, is_started: bool = True) -> None:
        self.random = random.Random(seed)
        self.now_s = 100.0
        self.voters = tuple(range(1, size + 1))
        self.members = {broker_id: Member(self, broker_id) for broker_id in self.voters}
        self.queues: dict[tuple[int, int], deque[tuple[Any, ...]]] = {
            (a, b): deque() for a in self.voters for b in self.voters if a != b
        }
        self._links: set[frozenset[int]] = set()
        if is_started:
            for member in self.members.values():
                member.start()
            for a in self.voters:
                for b in self.voters:
                    if a < b:
                        self.link(a, b)

    def make_group(
        self, member: Member, group_id: str, voters: tuple[int, ...], image: GroupImage
    ) -> Any:
        return self.group_class(
            group_id,
            broker_id=member.broker_id,
            voters=voters,
            machine=ListMachine(generation_of(group_id)),
            image=image,
            environment=member,
        )

    def note_applied(
        self,
        member: Member,
        group: RaftGroup,
        entry_index: int,
        entry_term: int,
        payload: bytes | None,
    ) -> None:
        """For a simulation that checks every applied entry."""

    def group(self, broker_id: int) -> Any:
        return self.members[broker_id].group

    def payloads(self, broker_id: int) -> list[bytes]:
        return list(self.group(broker_id).machine.payloads)

    # -- links

    def is_linked(self, a: int, b: int) -> bool:
        return frozenset((a, b)) in self._links

    def link(self, a: int, b: int, *, is_new_session: bool = False) -> None:
        """Let a link between two running brokers stand."""
        pair = frozenset((a, b))
        if pair in self._links:
            return
        assert self.members[a].is_running
        assert self.members[b].is_running
        self._links.add(pair)
        for here, there in ((a, b), (b, a)):
            member = self.members[here]
            for group in member.groups.values():
                group.peer_up(there, is_new_session)
            member.finish_turn()

    def unlink(self, a: int, b: int) -> None:
        """Tear the link; what was under way on it is lost."""
        pair = frozenset((a, b))
        if pair not in self._links:
            return
        self._links.discard(pair)
        for here, there in ((a, b), (b, a)):
            self.queues[here, there].clear()
            member = self.members[here]
            if member.is_running:
                for group in member.groups.values():
                    group.peer_down(there)
                member.finish_turn()

    def isolate(self, broker_id: int) -> None:
        for other in self.members:
            if other != broker_id:
                self.unlink(broker_id, other)

    def heal(self) -> None:
        running = [b for b in self.voters if self.members[b].is_running]
        for a in running:
            for b in running:
                if a < b:
                    self.link(a, b)

    def crash(self, broker_id: int) -> None:
        self.members[broker_id].crash()
        self.isolate(broker_id)

    def restart(self, broker_id: int) -> None:
        """Start a crashed broker and link it with all that run."""
        self.members[broker_id].start()
        self.members[broker_id].finish_turn()
        for other in self.voters:
            if other != broker_id and self.members[other].is_running:
                self.link(broker_id, other, is_new_session=True)

    # -- messages and time

    def carry(self, from_id: int, to_id: int, message: tuple[Any, ...]) -> None:
        if self.is_linked(from_id, to_id):
            decoded = decode_frame(encode_frame([message]))
            self.queues[from_id, to_id].extend(decoded)

    def deliver(self, from_id: int, to_id: int, count: int | None = None) -> int:
        """Deliver up to `count` messages of one direction in one turn of the receiver."""
        queue = self.queues[from_id, to_id]
        member = self.members[to_id]
        delivered = 0
        while queue and (count is None or delivered < count):
            message = queue.popleft()
            delivered += 1
            member.receive(from_id, message)
        if delivered:
            member.finish_turn()
        return delivered

    def settle(self) -> None:
        """Deliver until no message is under way; no time passes."""
        for _ in range(MAX_ROUNDS):
            if not sum(self.deliver(a, b) for a, b in self.queues):
                return
        raise AssertionError(f"messages answer each other without end: {self.queues}")

    def tick(self, broker_id: int) -> None:
        member = self.members[broker_id]
        if member.is_running and member.awake:
            for group_id in sorted(member.awake):
                member.tick_count += 1
                member.groups[group_id].tick(self.now_s)
            member.finish_turn()

    def run(self, seconds: float) -> None:
        """Let time pass, with every message delivered at once."""
        end_s = self.now_s + seconds
        self.settle()
        while self.now_s < end_s - 1e-9:
            self.now_s += TICK_S
            for broker_id in self.voters:
                self.tick(broker_id)
            self.settle()

    def leaders(self) -> list[int]:
        return [
            b for b in self.voters if self.members[b].is_running and self.group(b).is_controller
        ]

    def elect(self, seconds: float = 5.0) -> int:
        """Let time pass until exactly one broker is the controller; returns it."""
        end_s = self.now_s + seconds
        self.settle()
        while len(self.leaders()) != 1:
            assert self.now_s < end_s, "nobody was elected"
            self.run(TICK_S)
        return self.leaders()[0]

    def propose(self, broker_id: int, payload: bytes, timeout_s: float = 5.0) -> list[object]:
        """Outcomes arrive in the list that is returned."""
        outcomes: list[object] = []
        member = self.members[broker_id]
        member.group.propose(payload, outcomes.append, self.now_s + timeout_s)
        member.finish_turn()
        return outcomes
