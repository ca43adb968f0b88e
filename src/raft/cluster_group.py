"""The group that agrees on the cluster's state; whoever leads it is the Controller.

A decision goes propose -> journal -> apply, and its outcome comes by callback.  A broker is one of

    solo      the only voter: the three happen at once, here
    voter     one of several: the journal is a quorum's, the Raft thread's
    follower  no voter: the Controller feeds it the state, and decides what it asks for

and becomes another one as the cluster grows.  Callers must be right in all three.
"""

import logging
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

from .cluster_commands import (
    ChangeVoters,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    RegisterBroker,
    decode_command,
    encode_command,
)
from .cluster_diff import commands_between
from .cluster_growth import next_voters
from .cluster_link import ClusterLink
from .cluster_state import ClusterState
from .decisions_awaited import DecisionsAwaited
from .errors import ClusterStateError, GroupSealedError, NotControllerError, ReplicationError
from .group_machines import ClusterMachine, generation_group_id, split_group_id
from .raft_wal import GroupImage, RaftWal
from .runtime_contract import Applied, Runtime, Schedule

CLUSTER_GROUP_ID = "cluster"
FIRST_TERM = 1
PROPOSE_TIMEOUT_MS = 5_000
RETRY_MS = 20

# Journal bytes that a new partition takes at most: its share of the command, forming its group,
# its first election, and forgetting it.
_PARTITION_BYTES = 768

OnApplied = Callable[[Command, Any], None]
OnDone = Callable[[Any], None]

logger = logging.getLogger(__name__)


class Standing(Enum):
    """What this broker is in the group."""

    SOLO = "solo"
    VOTER = "voter"
    FOLLOWER = "follower"


class ClusterGroup:
    """The cluster's state on this broker, and the way to change it.  Loop thread only."""

    def __init__(
        self,
        wal: RaftWal,
        *,
        broker_id: int,
        on_applied: OnApplied | None = None,
        may_form: bool = True,
    ) -> None:
        """`may_form`: without a journal of its own this broker is a cluster of one, no follower."""
        self.broker_id = broker_id
        self.state = ClusterState()
        self.standing = Standing.FOLLOWER
        self.applied_index = 0
        self._wal = wal
        self._listeners: list[OnApplied] = [] if on_applied is None else [on_applied]
        self.generation = 0
        self.voters: tuple[int, ...] = (broker_id,)
        """Who votes in the group of this generation."""
        self.schedule: Schedule | None = None
        self._term = FIRST_TERM
        self._controller_id = -1
        self._is_controller = False
        self._is_changing_voters = False
        self._own_group_id = ""  # of the group that this broker decides alone in
        self._forgettable: list[str] = []
        self._runtime: Runtime | None = None
        self._link: ClusterLink | None = None
        self._awaited = DecisionsAwaited()
        self.journaled: list[RegisterBroker] = []
        """Registrations that the journal held at the start and that may not be committed yet."""
        self._open_newest(may_form)

    # -- what it is

    @property
    def controller_id(self) -> int:
        """The broker that leads this group; -1 while nobody is known to."""
        return self._controller_id

    @property
    def is_controller(self) -> bool:
        """Whether this broker is the Controller."""
        return self._is_controller

    @property
    def group_id(self) -> str:
        """The Raft group of the present generation."""
        return generation_group_id(CLUSTER_GROUP_ID, self.generation)

    def add_listener(self, on_applied: OnApplied) -> None:
        """Call `on_applied(command, result)` for every command that is carried out from now on."""
        self._listeners.append(on_applied)

    # -- beginning

    def _open_newest(self, may_form: bool) -> None:
        found = sorted(
            (split_group_id(group_id)[1], group_id)
            for group_id in self._wal.replay()
            if split_group_id(group_id)[0] == CLUSTER_GROUP_ID
        )
        if not found and not may_form:
            return
        self.generation, group_id = found[-1] if found else (0, CLUSTER_GROUP_ID)
        self._forgettable = [older for _, older in found[:-1]]
        image = self._wal.replay().get(group_id, GroupImage())
        state = ClusterState.from_bytes(image.snapshot) if image.snapshot else ClusterState()
        if state.generation == self.generation and state.voters not in ((), (self.broker_id,)):
            # What stands behind the snapshot may not be committed: the Raft thread finds out.
            behind = (decode_command(payload) for _, _, payload in image.entries if payload)
            self.journaled = [each for each in behind if isinstance(each, RegisterBroker)]
            self.state, self.applied_index = state, image.snapshot_index
            self.voters = state.voters
            is_voter = self.broker_id in state.voters
            self.standing = Standing.VOTER if is_voter else Standing.FOLLOWER
            return
        self._open_own(group_id, state)

    def _open_own(self, group_id: str, state: ClusterState) -> None:
        """Decide alone, or find out that the last decision was to decide with others."""
        image = self._wal.attach_group(group_id, self._take_image)
        self._own_group_id = group_id
        self.state = state
        self.applied_index = image.last_index
        self._term = max(image.last_term, FIRST_TERM)
        for _, _, payload in image.entries:
            self._apply(decode_command(payload))
        if self.state.generation == self.generation:
            self.standing = Standing.SOLO
            self._controller_id = self.broker_id
            self._is_controller = True

    def form(self) -> None:
        """Begin a new cluster with this broker alone; it had found no other."""
        assert self.standing is Standing.FOLLOWER, self.standing
        assert not self.state.brokers
        self._open_own(CLUSTER_GROUP_ID, self.state)
        if self._link is not None:
            self._link.became_controller(self.generation, self.applied_index)

    def connect(self, runtime: Runtime, schedule: Schedule) -> None:
        """Take part in a cluster of several brokers from now on."""
        self._runtime, self.schedule = runtime, schedule
        self._awaited.schedule = schedule
        self._link = ClusterLink(self, runtime)
        runtime.on_peers_changed.append(lambda _peers: self._peers_changed())
        if self.standing is Standing.VOTER:
            self._open_generation(first_state=None, campaign=False)
        elif self.state.generation > self.generation and self._own_group_id:
            self._follow_seal(was_controller=True)
        elif self.standing is Standing.SOLO:
            self._link.became_controller(self.generation, self.applied_index)
        self._peers_changed()

    # -- decisions

    def propose(
        self,
        command: Command,
        on_done: OnDone | None = None,
        *,
        timeout_ms: int = PROPOSE_TIMEOUT_MS,
    ) -> None:
        """Have `command` decided; `on_done` gets its result, a ClusterStateError that refuses it,
        or the ReplicationError that left it undecided.

        Raises KafkaStorageError if this broker decides alone and cannot write its journal: then
        nothing was decided.
        """
        tell = on_done or _ignore
        if self.standing is Standing.SOLO:
            tell(self._decide_alone(command)[0])
            return
        self.propose_indexed(command, partial(self._tell_decided, command, tell), timeout_ms)

    def _decide_alone(self, command: Command) -> tuple[Any, tuple[int, int]]:
        """As the only voter: the result of `command`, journaled and applied, and its entry."""
        with self._wal.lock:
            index = self.applied_index + 1
            if isinstance(command, CreateTopic | CreatePartitions):
                # Else a full disk could leave a topic whose partitions nobody may lead.
                self._wal.reserve_room(len(command.assignments) * _PARTITION_BYTES)
            payload = encode_command(command)
            self._wal.append_entries(
                [(self.group_id, index, self._term, payload)],
                makes_room=isinstance(command, DeleteTopic),
            )
            result = self._apply(command)
            self.applied_index = index
        entry = (self.generation, index)
        self._entry_applied(command, payload, result)
        return result, entry

    def propose_indexed(
        self, command: Command, on_decided: Callable[[Any], None], timeout_ms: int
    ) -> None:
        """`on_decided` gets (generation, entry_index) or a ReplicationError."""
        if self.standing is Standing.SOLO:
            on_decided(self._decide_alone(command)[1])
            return
        runtime, link = self._runtime, self._link
        if runtime is None or link is None:
            on_decided(NotControllerError("this broker has not joined its cluster yet", None))
        elif self.standing is Standing.VOTER:
            generation = self.generation
            runtime.propose(
                self.group_id,
                encode_command(command),
                partial(self._voters_answered, command, on_decided, timeout_ms, generation),
                timeout_ms=timeout_ms,
            )
        else:
            link.ask(self._controller_id, encode_command(command), on_decided, timeout_ms)

    def _voters_answered(
        self,
        command: Command,
        on_decided: Callable[[Any], None],
        timeout_ms: int,
        generation: int,
        outcome: Any,
    ) -> None:
        if isinstance(outcome, GroupSealedError) and timeout_ms > 0:
            # It was not decided; the next generation may, once it is known here.
            rest_ms = timeout_ms - RETRY_MS
            assert self.schedule is not None
            self.schedule(
                RETRY_MS, partial(self.propose_indexed, command, on_decided, max(rest_ms, 0))
            )
        elif isinstance(outcome, ReplicationError):
            on_decided(outcome)
        else:
            on_decided((generation, outcome[0]))

    def _tell_decided(self, command: Command, tell: OnDone, outcome: Any) -> None:
        """Give the result that the entry had here, once it is applied here."""
        if isinstance(outcome, ReplicationError):
            tell(outcome)
        else:
            self._awaited.add((outcome[0], outcome[1]), command, tell)

    def _apply(self, command: Command) -> Any:
        try:
            return self.state.apply(command)
        except ClusterStateError as refusal:
            return refusal

    def _entry_applied(self, command: Command, payload: bytes, result: Any) -> None:
        index, generation = self.applied_index, self.generation
        if self._link is not None and self._is_controller:
            self._link.feed_entry(generation, index, payload)
        if not isinstance(result, ClusterStateError):
            self._tell_listeners(command, result)
        self._awaited.decided((generation, index), result)
        if isinstance(command, ChangeVoters) and not isinstance(result, ClusterStateError):
            if self._runtime is not None and self.standing is not Standing.FOLLOWER:
                self._follow_seal(was_controller=self._is_controller)
        elif isinstance(command, RegisterBroker):
            self._grow()

    def _tell_listeners(self, command: Command, result: Any) -> None:
        for listener in self._listeners:
            try:
                listener(command, result)
            except Exception:
                if self.standing is Standing.SOLO:
                    raise  # whoever proposed it waits for this call to return
                # What others decided goes on behind it: who left a decision out would have another
                # state than they have.
                logger.exception("%s was decided, and failed here", type(command).__name__)

    def _take_image(self) -> GroupImage:
        return GroupImage(self.applied_index, self._term, self.state.to_bytes())

    # -- as a voter

    def _open_generation(self, *, first_state: bytes | None, campaign: bool) -> None:
        assert self._runtime is not None
        generation = self.generation
        self._runtime.open_group(
            self.group_id,
            voters=self.voters,
            machine_factory=partial(ClusterMachine, generation),
            first_state=first_state,
            campaign=campaign,
            on_applied=partial(self._on_group_applied, generation),
            on_role=partial(self._on_role, generation),
        )

    def _on_group_applied(self, generation: int, applied: list[Applied]) -> None:
        if self._forgettable:
            with self._wal.lock:
                self._wal.forget_groups(self._forgettable)
            self._forgettable = []
        for index, payload, _, state in applied:
            if generation != self.generation or index <= self.applied_index:
                continue
            if payload is None:
                assert isinstance(state, bytes), state
                self._take_state(generation, index, state)
            elif payload:
                self._take_entry(index, payload)

    def _on_role(self, generation: int, is_controller: bool) -> None:
        if generation != self.generation:
            return
        self._is_controller = is_controller
        if is_controller:
            self._controller_id = self.broker_id
            logger.info("this broker is the Controller of the cluster now")
            assert self._link is not None
            self._link.became_controller(generation, self.applied_index)
            self._grow()
        elif self._controller_id == self.broker_id:
            self._controller_id = -1

    def _follow_seal(self, *, was_controller: bool) -> None:
        """The generation is over: begin the next one, and bring its seed to whom it concerns."""
        assert self._runtime is not None
        state, seed = self.state, self.state.to_bytes()
        self._runtime.send_seed(CLUSTER_GROUP_ID, state.generation, state.voters, self.voters, seed)
        self._begin_generation(state.generation, state.voters, seed, campaign=was_controller)

    def _begin_generation(
        self, generation: int, voters: tuple[int, ...], seed: bytes, *, campaign: bool
    ) -> None:
        """Leave the old generation's group for the one that begins with `seed`."""
        assert self._runtime is not None
        if self.standing is Standing.VOTER:
            self._runtime.close_group(self.group_id, forget=True)
        elif self._own_group_id:
            self._forgettable, self._own_group_id = [self._own_group_id], ""
        if generation > self.generation:
            self.generation, self.applied_index = generation, 1
            self._awaited.jumped(self.state, (generation, 1))
        self.voters = voters
        self._is_controller = False
        if self.broker_id in voters:
            self.standing = Standing.VOTER
            self._open_generation(first_state=seed, campaign=campaign)
        else:
            self.standing = Standing.FOLLOWER

    def seed_arrived(self, generation: int, voters: tuple[int, ...], seed: bytes) -> None:
        """The first state of a later generation came; see `Runtime.on_seed`."""
        assert self._runtime is not None
        is_joining = self.standing is Standing.FOLLOWER and self.broker_id in voters
        if generation > self.generation or (is_joining and generation == self.generation):
            logger.info("brokers %s agree on the cluster from now on", list(voters))
            if generation > self.generation:
                self._replace_state(ClusterState.from_bytes(seed))
            self._begin_generation(generation, voters, seed, campaign=False)
        self._runtime.ack_seed(CLUSTER_GROUP_ID, generation)

    # -- what comes from elsewhere

    def controller_announced(self, broker_id: int) -> None:
        """Another broker says that it is the Controller."""
        self._controller_id = broker_id

    def fed_state(self, generation: int, index: int, data: bytes) -> None:
        """The Controller sends the whole state to a broker that does not vote."""
        if self.standing is Standing.FOLLOWER:
            self._take_state(generation, index, data)

    def fed_entry(self, generation: int, index: int, payload: bytes) -> bool:
        """The Controller sends an entry; False where entries before it are missing."""
        if self.standing is not Standing.FOLLOWER or generation < self.generation:
            return True
        if generation == self.generation and index <= self.applied_index:
            return True
        if generation > self.generation or index > self.applied_index + 1:
            return False
        self._take_entry(index, payload)
        return True

    def _take_state(self, generation: int, index: int, data: bytes) -> None:
        """The whole state as it was behind an entry; listeners hear what is new in it."""
        if (generation, index) <= (self.generation, self.applied_index):
            return
        self.generation, self.applied_index = generation, index
        self._replace_state(ClusterState.from_bytes(data))
        self.voters = self.state.voters
        self._awaited.jumped(self.state, (generation, index))

    def _take_entry(self, index: int, payload: bytes) -> None:
        """The entry behind what is applied."""
        command = decode_command(payload)
        self.applied_index = index
        self._entry_applied(command, payload, self._apply(command))

    def _replace_state(self, state: ClusterState) -> None:
        news = list(commands_between(self.state, state))
        self.state = state
        for command, result in news:
            self._tell_listeners(command, result)

    # -- growth

    def _peers_changed(self) -> None:
        assert self._link is not None
        assert self._runtime is not None
        self._link.peers_changed(self._runtime.live_brokers())
        if self._controller_id not in self._runtime.live_brokers():
            self._controller_id = -1
        self._grow()

    def _grow(self) -> None:
        """As the Controller: have more brokers vote where the cluster has them."""
        if self._runtime is None or not self._is_controller or self._is_changing_voters:
            return
        live = self._runtime.live_brokers()
        change = next_voters(self.state, live, self.broker_id)
        if change is not None:
            self._is_changing_voters = True
            self.propose(change, self._voters_changed)

    def _voters_changed(self, result: Any) -> None:
        self._is_changing_voters = False
        if isinstance(result, Exception):
            logger.warning("the voters of the cluster stay as they are: %s", result)


def _ignore(_result: Any) -> None:
    """Nobody asked."""
