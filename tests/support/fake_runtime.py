"""Several brokers' Raft runtimes in one thread, without Raft: a live majority decides at once.

Everything that a real runtime posts to the loop waits in `FakeNetwork.mail` until `settle`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.raft.errors import GroupSealedError, NotControllerError
from headrace.raft.raft_wal import GroupImage, RaftWal
from headrace.raft.wal_format import WalRecord, WalRecordKind

__all__ = ["FakeNetwork", "FakePeer", "FakeRuntime"]


@dataclass(frozen=True)
class FakePeer:
    broker_id: int
    incarnation: int
    session: int
    wal_id: int
    host: str = "localhost"
    port: int = 9092


@dataclass
class _Seat:
    machine: Any
    on_applied: Callable[[list[Any]], None]
    on_role: Callable[[bool], None]
    runtime: "FakeRuntime"
    applied: int = 1
    is_controller: bool = False


@dataclass
class _Group:
    voters: tuple[int, ...]
    log: list[bytes] = field(default_factory=list)
    seats: dict[int, _Seat] = field(default_factory=dict)


class FakeNetwork:
    """What the brokers share."""

    def __init__(self) -> None:
        self.up: dict[int, FakeRuntime] = {}
        self.unlinked: set[frozenset[int]] = set()
        """Pairs of brokers that have no link, though both are up."""
        self.groups: dict[str, _Group] = {}
        self.seeds: list[Any] = []
        self.mail: deque[Callable[[], None]] = deque()

    def settle(self) -> None:
        """Deliver everything, elect where nobody leads."""
        while True:
            while self.mail:
                self.mail.popleft()()
            for group_id in list(self.groups):
                self._elect(group_id)
            if not self.mail:
                return

    def peers_changed(self) -> None:
        for runtime in self.up.values():
            for callback in runtime.on_peers_changed:
                self.mail.append(lambda c=callback, r=runtime: c(r.live_brokers()))
        for seed in self.seeds:
            self.bring(*seed)

    def bring(self, base_id: str, generation: int, voters: Any, to: set[int], data: bytes) -> None:
        for broker_id in to:
            runtime = self.up.get(broker_id)
            if runtime is not None and runtime.on_seed is not None:
                self.mail.append(lambda r=runtime: r.on_seed(base_id, generation, voters, data))

    def _elect(self, group_id: str) -> None:
        group = self.groups[group_id]
        there = [b for b in group.voters if b in self.up and b in group.seats]
        for broker_id, seat in group.seats.items():
            if seat.is_controller and broker_id not in there:
                seat.is_controller = False
        if len(there) * 2 <= len(group.voters):
            return
        for broker_id in there:
            self._catch_up(group, group.seats[broker_id])
        if not any(group.seats[b].is_controller for b in there):
            seat = group.seats[there[0]]
            seat.is_controller = True
            self.mail.append(lambda: seat.on_role(True))

    def _catch_up(self, group: _Group, seat: _Seat) -> list[Any]:
        """Apply what is committed; a sealed group applies nothing more."""
        applied = []
        while seat.applied - 1 < len(group.log) and seat.machine.successor is None:
            payload = group.log[seat.applied - 1]
            seat.applied += 1
            result = seat.machine.apply(payload)
            state = seat.machine.state_to_post() if seat.machine.posts_states else None
            applied.append((seat.applied, payload, result, state))
        if applied:
            self.mail.append(lambda: seat.on_applied(applied))
        return applied

    def propose(self, group_id: str, payload: bytes, on_done: Callable[[object], None]) -> None:
        group = self.groups.get(group_id)
        there = [b for b in group.voters if b in self.up and b in group.seats] if group else []
        if group is None or len(there) * 2 <= len(group.voters):
            self.mail.append(lambda: on_done(NotControllerError("no quorum", None)))
            return
        group.log.append(payload)
        results = [self._catch_up(group, group.seats[b]) for b in there]
        mine = [each for applied in results for each in applied if each[1] is payload]
        if mine:
            self.mail.append(lambda: on_done((mine[0][0], mine[0][2])))
        else:
            self.mail.append(lambda: on_done(GroupSealedError("sealed")))


class FakeRuntime:
    """One broker's."""

    def __init__(self, network: FakeNetwork, own: FakePeer, wal: RaftWal) -> None:
        self.on_seed: Callable[[str, int, tuple[int, ...], bytes], None] | None = None
        self.on_peers_changed: list[Callable[[Mapping[int, Any]], None]] = []
        self.own = own
        self.acknowledged: list[tuple[str, int]] = []
        self._network = network
        self._wal = wal
        self._channels: dict[str, Callable[[int, bytes], None]] = {}

    @property
    def session(self) -> int:
        return self.own.session

    def start(self) -> None:
        self._network.up[self.own.broker_id] = self
        self._network.peers_changed()

    def stop(self) -> None:
        del self._network.up[self.own.broker_id]
        for group in self._network.groups.values():
            group.seats.pop(self.own.broker_id, None)
        self._network.peers_changed()

    def open_group(
        self,
        group_id: str,
        *,
        voters: tuple[int, ...],
        machine_factory: Callable[[], Any],
        first_state: bytes | None,
        campaign: bool,
        on_applied: Callable[[list[Any]], None],
        on_role: Callable[[bool], None],
    ) -> None:
        machine = machine_factory()
        image = self._wal.replay().get(group_id, GroupImage())
        data = image.snapshot or first_state
        assert data is not None, group_id
        self._wal.attach_group(group_id, lambda: GroupImage(1, 0, data))
        if not image.snapshot:
            record = WalRecord(WalRecordKind.SNAPSHOT, group_id, 1, 0, data)
            self._wal.append_turn([record])
        machine.load(data)
        group = self._network.groups.setdefault(group_id, _Group(voters))
        seat = _Seat(machine, on_applied, on_role, self)
        group.seats[self.own.broker_id] = seat
        self._network.mail.append(lambda: on_applied([(1, None, None, machine.state_to_post())]))

    def close_group(self, group_id: str, *, forget: bool) -> None:
        group = self._network.groups.get(group_id)
        if group is not None:
            group.seats.pop(self.own.broker_id, None)
        if forget:
            self._wal.forget_groups([group_id])

    def propose(
        self,
        group_id: str,
        payload: bytes,
        on_done: Callable[[object], None],
        *,
        timeout_ms: int = 5000,
    ) -> None:
        if self.own.broker_id not in self._network.up:  # nobody hears it
            self._network.mail.append(lambda: on_done(NotControllerError("cut off", None)))
            return
        self._network.propose(group_id, payload, on_done)

    def send_seed(
        self,
        base_id: str,
        generation: int,
        voters: tuple[int, ...],
        old_voters: tuple[int, ...],
        seed: bytes,
    ) -> None:
        to = {*voters, *old_voters} - {self.own.broker_id}
        self._network.seeds.append((base_id, generation, voters, to, seed))
        self._network.bring(base_id, generation, voters, to, seed)

    def ack_seed(self, base_id: str, generation: int) -> None:
        self.acknowledged.append((base_id, generation))

    def drop_seeds(self, base_ids: Iterable[str]) -> None:
        gone = set(base_ids)
        self._network.seeds = [seed for seed in self._network.seeds if seed[0] not in gone]

    def transfer_group(self, group_id: str, to_id: int) -> None:
        group = self._network.groups[group_id]
        group.seats[self.own.broker_id].is_controller = False

    def live_brokers(self) -> dict[int, FakePeer]:
        up = {
            broker_id: runtime.own
            for broker_id, runtime in self._network.up.items()
            if self._is_linked(broker_id)
        }
        return {**up, self.own.broker_id: self.own}

    def _is_linked(self, broker_id: int) -> bool:
        return frozenset((self.own.broker_id, broker_id)) not in self._network.unlinked

    def failing_brokers(self) -> frozenset[int]:
        return frozenset()

    def send(self, broker_id: int, channel: str, body: bytes) -> bool:
        target = self._network.up.get(broker_id)
        if target is None or not self._is_linked(broker_id):
            return False

        def deliver() -> None:
            callback = target._channels.get(channel)
            if callback is not None:
                callback(self.own.broker_id, body)

        self._network.mail.append(deliver)
        return True

    def on_message(self, channel: str, callback: Callable[[int, bytes], None]) -> None:
        self._channels[channel] = callback
