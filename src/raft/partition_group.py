"""The group that agrees on one partition's state; its decisions are journaled in the shared log.

`propose_together` is the one way to change states: any number of groups, one batch, one sync.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..core.errors import KafkaStorageError
from .errors import CorruptCommandError, ReplicationError
from .group_machines import PartitionMachine, generation_group_id, split_group_id
from .partition_state import (
    Outcome,
    PartitionCommand,
    PartitionState,
    decode_partition_command,
    encode_partition_command,
)
from .raft_wal import Entry, GroupImage, RaftWal
from .runtime_contract import OnApplied, OnRole, Runtime
from .seed_sender import PendingSeed, images_of_seed

_PREFIX = "partition-"
_FIRST_TERM = 1


def partition_group_id(topic_id: bytes, index: int) -> str:
    """The group's name in the write-ahead log; never used again, since topic ids are not."""
    return f"{_PREFIX}{topic_id.hex()}-{index}"


def parse_partition_group_id(group_id: str) -> tuple[bytes, int] | None:
    """(topic_id, index) of a partition's group, None for a group of another kind."""
    if not group_id.startswith(_PREFIX):
        return None
    base_id, _ = split_group_id(group_id)
    topic_id, _, index = base_id.removeprefix(_PREFIX).partition("-")
    try:
        return bytes.fromhex(topic_id), int(index)
    except ValueError as error:
        raise CorruptCommandError(f"{group_id!r} names no partition's group") from error


class PartitionGroup:
    """One partition's replicated state on this broker.  Loop thread only.

    Alone, this broker decides at once, in its own journal; with others the Raft thread does, and
    `state` is what it has told.  A group passes from one to the other with its generations.
    `may_lead`: whether the leader's role, where `state` gives it to this broker, was given to this
    life of its process.
    """

    __slots__ = (
        "_last_index",
        "_runtime",
        "_term",
        "_wal",
        "base_id",
        "generation",
        "may_lead",
        "state",
        "voters",
    )

    def __init__(self, wal: RaftWal, group_id: str) -> None:
        """The group that this broker decides alone in, as its journal has it."""
        self.base_id, self.generation = split_group_id(group_id)
        self._wal = wal
        self._runtime: Runtime | None = None
        self.voters: tuple[int, ...] = ()
        self.state = PartitionState()
        self._last_index = self._term = 0
        self._attach()

    @classmethod
    def shared(
        cls, wal: RaftWal, group_id: str, state: PartitionState, voters: tuple[int, ...]
    ) -> "PartitionGroup":
        """One that the Raft thread decides in; `open_shared` follows."""
        group = cls.__new__(cls)
        group.base_id, group.generation = split_group_id(group_id)
        group._wal = wal
        group._runtime = None
        group._last_index = group._term = 0
        group.voters = voters
        group.state = state
        group.may_lead = False
        return group

    @property
    def group_id(self) -> str:
        """Of the present generation."""
        return generation_group_id(self.base_id, self.generation)

    @property
    def is_alone(self) -> bool:
        """Whether this broker decides by itself."""
        return self._runtime is None

    @property
    def is_sealed(self) -> bool:
        """Whether the last decision of this generation was taken."""
        return self.state.generation > self.generation

    def open_shared(
        self,
        runtime: Runtime,
        *,
        first_state: bytes | None,
        campaign: bool,
        on_applied: OnApplied,
        on_role: OnRole,
    ) -> None:
        """Take part in the present generation with the other voters."""
        self._runtime = runtime
        runtime.open_group(
            self.group_id,
            voters=self.voters,
            machine_factory=partial(PartitionMachine, self.generation),
            first_state=first_state,
            campaign=campaign,
            on_applied=on_applied,
            on_role=on_role,
        )

    def begin_alone(self, state: PartitionState, seed: PendingSeed | None = None) -> None:
        """Go on as the only voter of a generation that begins with `state`.

        `seed` is kept for those who voted before.

        Raises KafkaStorageError: then nothing has changed.
        """
        wal = self._wal
        with wal.lock:
            before = self.generation, self.state, self._last_index, self._term
            self.generation, self.state = state.generation, state
            self._last_index, self._term = 1, _FIRST_TERM
            try:
                wal.begin_groups({self.group_id: self._take_image, **images_of_seed(wal, seed)})
            except KafkaStorageError:
                self.generation, self.state, self._last_index, self._term = before
                raise
        self._runtime = None
        self.voters = state.voters
        self.may_lead = True

    def _attach(self) -> None:
        self.may_lead = True  # whoever is alone was elected in this life of the process
        with self._wal.lock:
            image = self._wal.attach_group(self.group_id, self._take_image)
            if image.snapshot:
                self.state = PartitionState.from_bytes(image.snapshot)
            self._last_index = image.snapshot_index
            self._term = max(image.last_term, _FIRST_TERM)
            for _, _, payload in image.entries:
                self.apply_next(decode_partition_command(payload))

    def propose(self, command: PartitionCommand, on_done: Callable[[Any], None]) -> None:
        """Have `command` decided; `on_done` gets its outcome, or the error that left it undecided.

        That is a ReplicationError; with one voter, before this returns, a KafkaStorageError where
        its own journal cannot be written: then nothing was decided.
        """
        if self._runtime is None:
            try:
                propose_together(self._wal, [(self, command, on_done)])
            except KafkaStorageError as error:
                on_done(error)
        else:
            payload = encode_partition_command(command)
            self._runtime.propose(self.group_id, payload, partial(tell_outcome, on_done))

    def entry_of(self, command: PartitionCommand, *, ahead: int) -> Entry:
        """`command` as the entry that stands `ahead` places behind what is applied."""
        index = self._last_index + 1 + ahead
        return self.group_id, index, self._term, encode_partition_command(command)

    def apply_next(self, command: PartitionCommand) -> Outcome:
        """Apply a journaled command."""
        self.state, outcome = self.state.apply(command)
        self._last_index += 1
        return outcome

    def _take_image(self) -> GroupImage:
        return GroupImage(self._last_index, self._term, self.state.to_bytes())


Decision = tuple[PartitionGroup, PartitionCommand, Callable[[Outcome], None]]
"""(group, command, on_done)"""


def propose_together(wal: RaftWal, decisions: Sequence[Decision]) -> None:
    """Journal all commands in one batch, then apply each and tell its `on_done`.

    Commands of one group are applied in the order given.  Raises KafkaStorageError if the journal
    cannot be written: then nothing was decided.
    """
    ahead: dict[PartitionGroup, int] = {}
    entries = []
    for group, command, _ in decisions:
        entries.append(group.entry_of(command, ahead=ahead.get(group, 0)))
        ahead[group] = ahead.get(group, 0) + 1
    with wal.lock:
        wal.append_entries(entries)
        # All are applied before anyone is told: who is told may propose again, and cause a
        # checkpoint.
        outcomes = [group.apply_next(command) for group, command, _ in decisions]
    for (_, _, on_done), outcome in zip(decisions, outcomes, strict=True):
        on_done(outcome)


def tell_outcome(on_done: Callable[[Any], None], outcome: Any) -> None:
    """Turn what the runtime says into what was asked for."""
    if isinstance(outcome, ReplicationError):
        on_done(outcome)
    else:
        on_done(Outcome(outcome[1]))
