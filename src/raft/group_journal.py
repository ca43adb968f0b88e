"""One group's Raft log in memory, as PySyncObj asks for it, journaled in the shared WAL.

The first entry stands for everything up to the snapshot: only its index and term count.  A new
group begins with its first state as snapshot at entry 1, term 0, on every voter alike.  A command
is a payload (PySyncObj marks it with a zero byte) or the empty entry of a new leader.

Not kept: the commit index.  After a restart it is the snapshot's, until a leader says more; an
index that outlived entries which did not would apply what nobody has agreed on.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .raft_wal import GroupImage
from .wal_format import NO_VOTE, WalRecord, WalRecordKind

FIRST_INDEX = 1
FIRST_TERM = 0
NO_TERM = -1
NO_OP = b"\x01"

LibraryEntry = tuple[bytes, int, int]
"""(command, entry_index, term)"""


def command_of(payload: bytes) -> bytes:
    """A payload as the library's command."""
    return b"\x00" + payload if payload else NO_OP


def payload_of(command: bytes) -> bytes:
    """A command's payload, empty for a leader's first entry."""
    return command[1:] if command[0] == 0 else b""


class GroupJournal:
    """See the module.  Every change is a record for this turn's batch, by `write`."""

    __slots__ = ("_entries", "_group_id", "_write", "term", "voted_for")

    def __init__(
        self, group_id: str, image: GroupImage, write: Callable[[WalRecord], None]
    ) -> None:
        assert image.snapshot_index >= FIRST_INDEX, (group_id, image.snapshot_index)
        self._group_id = group_id
        self._write = write
        self.term = max(image.term, image.last_term)
        self.voted_for = image.voted_for if self.term == image.term else None
        self._entries: list[LibraryEntry] = [(NO_OP, image.snapshot_index, image.snapshot_term)]
        for entry_index, term, payload in image.entries:
            assert entry_index == self.last_index + 1, (group_id, entry_index, self.last_index)
            self._entries.append((command_of(payload), entry_index, term))

    # -- what we ask

    @property
    def first_index(self) -> int:
        """All up to this is applied and can no longer be read."""
        return self._entries[0][1]

    @property
    def last_index(self) -> int:
        return self._entries[-1][1]

    @property
    def last_term(self) -> int:
        return self._entries[-1][2]

    def term_at(self, entry_index: int) -> int:
        """The term of an entry from `first_index` on, NO_TERM where there is none."""
        place = entry_index - self._entries[0][1]
        return self._entries[place][2] if 0 <= place < len(self._entries) else NO_TERM

    def known_prefix(
        self, prev_index: int, prev_term: int, entries: Sequence[tuple[int, bytes]]
    ) -> int:
        """The last entry up to which this journal has what a leader sent behind `prev_index`.

        `entries` are (term, payload).  Below `prev_index` if the two do not agree even there.
        """
        if prev_index < self.first_index:
            # What the first entry covers is committed, so a leader of a newer term has it too.
            known = self.first_index
        elif self.term_at(prev_index) == prev_term:
            known = prev_index
        else:
            return prev_index - 1
        end = prev_index + len(entries)
        while known < end and self.term_at(known + 1) == entries[known - prev_index][0]:
            known += 1
        return known

    def entries_behind(self, entry_index: int) -> list[tuple[int, int, bytes]]:
        """(entry_index, term, payload) of all behind `entry_index`."""
        behind = self._entries[entry_index + 1 - self._entries[0][1] :]
        return [(index, term, payload_of(command)) for command, index, term in behind]

    def cut_to(self, entry_index: int) -> None:
        """Forget in memory what stands before an applied entry; the WAL has its checkpoints."""
        del self._entries[: entry_index - self._entries[0][1]]

    def install_snapshot(self, entry_index: int, term: int, data: bytes) -> None:
        """Replace everything by a snapshot that covers up to `entry_index`."""
        self._write(WalRecord(WalRecordKind.SNAPSHOT, self._group_id, entry_index, term, data))
        self._entries = [(NO_OP, entry_index, term)]

    # -- what the library asks

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, place: Any) -> Any:
        return self._entries[place]

    def add(self, command: bytes, entry_index: int, term: int) -> None:
        assert entry_index == self.last_index + 1, (self._group_id, entry_index, self.last_index)
        self._entries.append((command, entry_index, term))
        self._write(
            WalRecord(WalRecordKind.ENTRY, self._group_id, entry_index, term, payload_of(command))
        )

    def deleteEntriesFrom(self, place: int) -> None:
        # The entry that takes the first one's place says the same in the WAL.
        del self._entries[place:]

    def setCurrentTerm(self, term: int, voted_for: int | None) -> None:
        if (term, voted_for) == (self.term, self.voted_for):
            return
        assert term >= self.term, (self._group_id, term, self.term)
        self.term = term
        self.voted_for = voted_for
        vote = NO_VOTE if voted_for is None else voted_for
        self._write(WalRecord(WalRecordKind.HARD_STATE, self._group_id, vote, term, b""))

    def getCurrentTerm(self) -> int:
        return self.term

    def getVotedForNodeId(self) -> int | None:
        return self.voted_for

    def getRaftCommitIndex(self) -> int:
        return self.first_index

    def setRaftCommitIndex(self, _entry_index: int) -> None:
        """Not kept; see the module."""

    def onOneSecondTimer(self) -> None:
        """Nothing is written by the clock."""

    def _destroy(self) -> None:
        """The WAL outlives the group."""
