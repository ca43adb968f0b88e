"""All Raft groups of this broker in one turn: deliver, tick, one sync, then let out.  Raft thread.

It is the `GroupEnvironment` of its groups.  Nothing that a turn decided leaves it before the batch
that justifies it is on disk: messages wait in outboxes, outcomes in `after_sync`, applied entries
in their group's list, and all three are let go by `let_out`, behind `sync`.  Only what a leader has
its followers write goes to them before (`early_appends.py`).
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..core.clock import Clock
from ..core.errors import KafkaStorageError
from .early_appends import count_early, may_send_early
from .group_contract import GroupMachine
from .liveness import QuiesceDigest, WakeLists
from .raft_wal import GroupImage, RaftWal
from .wal_format import WalRecord, WalRecordKind

if TYPE_CHECKING:
    from .raft_group import RaftGroup

TICKS_BETWEEN_LOOKS = 32

Applied = tuple[int, bytes | None, object, object]
"""(entry_index, payload, result, state): payload None is a state that came whole"""

OnApplied = Callable[[list[Applied]], None]
OnRole = Callable[[bool], None]
Call = Callable[[], object]
Outboxes = list[tuple[int, list[tuple[Any, ...]]]]
"""(broker_id, messages), to each broker in order"""

logger = logging.getLogger(__name__)


class HostNetwork(Protocol):
    """What the host needs of the links."""

    def is_up(self, broker_id: int) -> bool: ...


class OpenGroup:
    """A group that takes part, and who is told what it decides."""

    __slots__ = ("applied", "group", "machine", "on_applied", "on_role", "posts_states")

    def __init__(
        self, machine: GroupMachine, *, on_applied: OnApplied, on_role: OnRole | None
    ) -> None:
        self.machine = machine
        self.on_applied = on_applied
        self.on_role = on_role
        self.posts_states = bool(getattr(machine, "posts_states", False))
        self.applied: list[Applied] = []
        self.group: RaftGroup

    def state_to_post(self) -> object:
        """The machine's state in the form its owner wants it; its bytes if it does not say."""
        take_state: Callable[[], object] | None = getattr(self.machine, "state_to_post", None)
        return self.machine.to_bytes() if take_state is None else take_state()


class GroupHost:
    """See the module.  `post` hands a call to the loop thread, in order."""

    def __init__(
        self,
        *,
        broker_id: int,
        wal: RaftWal,
        clock: Clock,
        network: HostNetwork,
        post: Callable[[Call], None],
    ) -> None:
        self.broker_id = broker_id
        self.groups: dict[str, OpenGroup] = {}
        self.wake_lists = WakeLists()
        self.digest = QuiesceDigest(broker_id)
        self.outboxes: dict[int, list[tuple[Any, ...]]] = {}
        self.is_held = False
        """Whether a full disk keeps back what was decided."""
        self.syncs = 0
        self.ticks = 0
        self._wal = wal
        self._clock = clock
        self._network = network
        self._post = post
        self._awake: set[RaftGroup] = set()
        self._dirty: set[RaftGroup] = set()
        self._records: list[WalRecord] = []
        self._after_sync: list[Call] = []
        self._roles: list[Call] = []
        self._changed: dict[str, OpenGroup] = {}

    # -- GroupEnvironment

    def monotonic_s(self) -> float:
        return self._clock.monotonic_ms() / 1000

    def random_float(self) -> float:
        return self._clock.random_float()

    def send(self, broker_id: int, group_id: str, message: tuple[Any, ...]) -> bool:
        """Queue a group's message; it leaves after this turn's sync."""
        return self.send_message(broker_id, message)

    def is_up(self, broker_id: int) -> bool:
        return self._network.is_up(broker_id)

    def journal(self, record: WalRecord) -> None:
        self._records.append(record)

    def after_sync(self, call: Call) -> None:
        self._after_sync.append(call)

    def mark_dirty(self, group: "RaftGroup") -> None:
        self._dirty.add(group)

    def set_awake(self, group: "RaftGroup", is_awake: bool) -> None:
        if is_awake:
            self._awake.add(group)
            self.digest.note_awake(group.group_id)
        else:
            self._awake.discard(group)
            self.digest.note_asleep(group)

    def on_applied(
        self, group: "RaftGroup", entry_index: int, payload: bytes | None, result: object
    ) -> None:
        opened = self.groups[group.group_id]
        state = opened.state_to_post() if payload is None or opened.posts_states else None
        opened.applied.append((entry_index, payload, result, state))
        self._changed[group.group_id] = opened

    def on_role(self, group: "RaftGroup", is_controller: bool) -> None:
        opened = self.groups[group.group_id]
        if opened.on_role is not None:
            self._roles.append(partial(opened.on_role, is_controller))

    # -- groups come and go

    def open_group(
        self,
        group_id: str,
        *,
        voters: Sequence[int],
        machine: GroupMachine,
        first_state: bytes | None,
        campaign: bool,
        on_applied: OnApplied,
        on_role: OnRole | None,
    ) -> None:
        """Take part with what the write-ahead log holds, or from `first_state` at entry 1."""
        from .raft_group import RaftGroup  # PySyncObj is loaded by the first group, not before

        opened = OpenGroup(machine, on_applied=on_applied, on_role=on_role)

        def take_image() -> GroupImage:
            return opened.group.take_image()

        image = self._wal.attach_group(group_id, take_image)
        if image.snapshot_index == 0 and first_state is not None:
            machine.load(first_state)
        self.groups[group_id] = opened
        opened.group = RaftGroup(
            group_id,
            broker_id=self.broker_id,
            voters=tuple(voters),
            machine=machine,
            image=image,
            environment=self,
        )
        first_index = opened.group.last_applied
        opened.applied.append((first_index, None, None, opened.state_to_post()))
        self._changed[group_id] = opened
        self.wake_lists.add_group(opened.group)
        if campaign:
            opened.group.campaign_soon()

    def close_group(self, group_id: str, *, forget: bool) -> None:
        """Take no part any more; `forget` also removes it from the write-ahead log for good."""
        opened = self.groups.pop(group_id, None)
        if opened is not None:
            opened.group.close()
            self.wake_lists.drop_group(opened.group)
            self._awake.discard(opened.group)
            self._dirty.discard(opened.group)
            self.digest.note_awake(group_id)
            self._changed.pop(group_id, None)
            if not forget:
                self._wal.detach_group(group_id)
        if forget:
            self.journal(WalRecord(WalRecordKind.FORGET, group_id, 0, 0, b""))

    # -- one turn

    @property
    def has_work(self) -> bool:
        """Whether the next turn must not wait."""
        return bool(self._dirty or self._records or self._after_sync or self._changed)

    @property
    def is_awake(self) -> bool:
        """Whether any group has timers to look at."""
        return bool(self._awake)

    def send_message(self, broker_id: int, message: tuple[Any, ...]) -> bool:
        """Queue any message; False, and not queued, if the broker is not up."""
        if not self._network.is_up(broker_id):
            return False
        outbox = self.outboxes.get(broker_id)
        if outbox is None:
            outbox = self.outboxes[broker_id] = []
        outbox.append(message)
        return True

    def peer_up(self, broker_id: int, is_new_session: bool) -> None:
        for group_id in self.wake_lists.group_ids_of(broker_id):
            self.groups[group_id].group.peer_up(broker_id, is_new_session)

    def peer_down(self, broker_id: int) -> None:
        self.outboxes.pop(broker_id, None)
        for group_id in self.wake_lists.group_ids_of(broker_id):
            self.groups[group_id].group.peer_down(broker_id)

    def tick_awake(self) -> None:
        """Have every awake group look at its timers."""
        self._dirty |= self._awake

    def tick_dirty(self, now_s: float, has_time: Callable[[], bool]) -> None:
        """Let groups act on what arrived, before this turn's sync; the rest in the next turn."""
        dirty = self._dirty
        while dirty:
            self.ticks += 1
            dirty.pop().tick(now_s)
            if not self.ticks % TICKS_BETWEEN_LOOKS and not has_time():
                return

    def take_early(self) -> Outboxes:
        """What may leave before this turn's sync; see `early_appends`."""
        if not self._records or not may_send_early(self._records, is_held=self.is_held):
            return []
        taken = []
        for broker_id, messages in self.outboxes.items():
            count = count_early(messages)
            if count:
                taken.append((broker_id, messages[:count]))
                del messages[:count]
        return taken

    def take_outboxes(self) -> Outboxes:
        """All that waits to be sent; only behind `sync`."""
        taken = [(broker_id, messages) for broker_id, messages in self.outboxes.items() if messages]
        for broker_id, _ in taken:
            self.outboxes[broker_id] = []
        return taken

    @property
    def has_unsynced(self) -> bool:
        return bool(self._records)

    def sync(self) -> bool:
        """Make everything journaled so far durable, in one batch; False if it must be tried again.

        On a full disk nothing was written, so nothing may be let out either.  Raises
        KafkaStorageError where the log is out of use.
        """
        if not self._records:
            return True
        try:
            self._wal.append_turn(self._records)
        except KafkaStorageError as error:
            if not error.is_passing:
                raise
            if not self.is_held:
                logger.error("%s: Raft waits until it can be written", error)
            self.is_held = True
            return False
        self.is_held = False
        self._records = []
        self.syncs += 1
        return True

    def let_out(self) -> None:
        """Run what waited for the sync; messages are for whoever calls `take_outboxes`."""
        # States go before outcomes and roles: who is told that its decision was taken, or that it
        # decides now, decides next on the state that came of it.
        if self._changed:
            changed, self._changed = self._changed, {}
            for opened in changed.values():
                applied, opened.applied = opened.applied, []
                self._post(partial(opened.on_applied, applied))
        calls, self._after_sync = self._after_sync, []
        for call in calls:
            call()
        roles, self._roles = self._roles, []
        for role in roles:
            self._post(role)
