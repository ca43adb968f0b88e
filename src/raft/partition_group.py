"""The group that agrees on one partition's state; its decisions are journaled in the shared log.

`propose_together` is the one way to change states: any number of groups, one batch, one sync.
"""

from collections.abc import Callable, Sequence

from .errors import CorruptCommandError
from .partition_state import (
    Outcome,
    PartitionCommand,
    PartitionState,
    decode_partition_command,
    encode_partition_command,
)
from .raft_wal import Entry, GroupImage, RaftWal

_PREFIX = "partition-"
_FIRST_TERM = 1


def partition_group_id(topic_id: bytes, index: int) -> str:
    """The group's name in the write-ahead log; never used again, since topic ids are not."""
    return f"{_PREFIX}{topic_id.hex()}-{index}"


def parse_partition_group_id(group_id: str) -> tuple[bytes, int] | None:
    """(topic_id, index) of a partition's group, None for a group of another kind."""
    if not group_id.startswith(_PREFIX):
        return None
    topic_id, _, index = group_id.removeprefix(_PREFIX).partition("-")
    try:
        return bytes.fromhex(topic_id), int(index)
    except ValueError as error:
        raise CorruptCommandError(f"{group_id!r} names no partition's group") from error


class PartitionGroup:
    """One partition's replicated state on this broker.  Loop thread only."""

    __slots__ = ("_last_index", "_term", "_wal", "group_id", "state")

    may_lead = True  # whoever is alone was elected in this life of the process

    def __init__(self, wal: RaftWal, group_id: str) -> None:
        self.group_id = group_id
        self._wal = wal
        image = wal.attach_group(group_id, self._take_image)
        self.state = (
            PartitionState.from_bytes(image.snapshot) if image.snapshot else PartitionState()
        )
        self._last_index = image.snapshot_index
        self._term = max(image.last_term, _FIRST_TERM)
        for _, _, payload in image.entries:
            self.apply_next(decode_partition_command(payload))

    def propose(self, command: PartitionCommand, on_done: Callable[[Outcome], None]) -> None:
        """Have `command` decided; `on_done` gets its outcome.  With one voter, before this returns.

        Raises KafkaStorageError if the journal cannot be written: then nothing was decided.
        """
        propose_together(self._wal, [(self, command, on_done)])

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
    wal.append_entries(entries)
    # All are applied before anyone is told: who is told may propose again and cause a checkpoint.
    outcomes = [group.apply_next(command) for group, command, _ in decisions]
    for (_, _, on_done), outcome in zip(decisions, outcomes, strict=True):
        on_done(outcome)
