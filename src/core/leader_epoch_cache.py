"""Which leader epoch wrote from which offset on: the answer to OffsetForLeaderEpoch.

Kept in `leader-epoch-checkpoint` (checkpoint_file), one line an epoch: epoch, its first offset.
Both columns grow strictly.  The file is synced together with the log; what was written since is
read from the batches again after a crash, because they carry their epoch.
"""

from bisect import bisect_right
from itertools import pairwise
from pathlib import Path

from .checkpoint_file import (
    LEADER_EPOCH_NAME,
    CheckpointFormatError,
    read_epoch_checkpoint,
    write_epoch_checkpoint,
)

UNDEFINED_EPOCH = -1
UNDEFINED_OFFSET = -1


class LeaderEpochCache:
    """The epochs of one log, oldest first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: list[tuple[int, int]] = []
        self.latest_epoch = UNDEFINED_EPOCH
        self.is_unsynced = False

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / LEADER_EPOCH_NAME

    def load(self) -> bool:
        """Read the file; False where it cannot be read or its columns do not grow."""
        try:
            entries = read_epoch_checkpoint(self.path)
        except CheckpointFormatError:
            return False
        pairs = pairwise(entries)
        if any(one[0] >= two[0] or one[1] >= two[1] for one, two in pairs):
            return False
        self._replace(entries)
        return True

    @property
    def entries(self) -> list[tuple[int, int]]:
        """Every (epoch, start_offset), oldest first."""
        return list(self._entries)

    def assign(self, leader_epoch: int, start_offset: int, *, save: bool = True) -> None:
        """Note that `leader_epoch` writes from `start_offset` on; older epochs change nothing."""
        if leader_epoch <= self.latest_epoch:
            return
        # An epoch that wrote nothing before the next one began leaves no trace.
        kept = [entry for entry in self._entries if entry[1] < start_offset]
        self._replace([*kept, (leader_epoch, start_offset)])
        if save:
            self.save()

    def epoch_at(self, offset: int) -> int:
        """The epoch that wrote the record at `offset`; -1 where none is known."""
        slot = bisect_right(self._entries, offset, key=lambda entry: entry[1]) - 1
        return self._entries[slot][0] if slot >= 0 else UNDEFINED_EPOCH

    def end_offset_for(self, leader_epoch: int, log_end_offset: int) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch at or below `leader_epoch`.

        (-1, -1) where it is undefined or newer than any known; where all known ones are newer, the
        epoch asked for with the first offset known.
        """
        if leader_epoch == UNDEFINED_EPOCH or leader_epoch > self.latest_epoch:
            return UNDEFINED_EPOCH, UNDEFINED_OFFSET
        if leader_epoch == self.latest_epoch:
            return leader_epoch, log_end_offset
        slot = bisect_right(self._entries, leader_epoch, key=lambda entry: entry[0])
        end_offset = self._entries[slot][1]
        return (self._entries[slot - 1][0] if slot else leader_epoch), end_offset

    def truncate_from_end(self, end_offset: int, *, save: bool = True) -> None:
        """Forget the epochs that began at `end_offset` or above."""
        kept = [entry for entry in self._entries if entry[1] < end_offset]
        self._replace_and_save(kept, save=save)

    def truncate_from_start(self, start_offset: int, *, save: bool = True) -> None:
        """Forget what lies below `start_offset`; the epoch in force there begins there."""
        slot = bisect_right(self._entries, start_offset, key=lambda entry: entry[1]) - 1
        if slot < 0:
            return
        kept = [(self._entries[slot][0], start_offset), *self._entries[slot + 1 :]]
        self._replace_and_save(kept, save=save)

    def take_over(self, other: "LeaderEpochCache") -> None:
        """Hold what the cache of another copy of the same log holds."""
        self._replace_and_save(other.entries, save=True)

    def clear(self) -> None:
        """Forget everything, on disk too."""
        self._replace_and_save([], save=True)

    def save(self) -> None:
        """Write the file."""
        write_epoch_checkpoint(self.path, self._entries, sync=False)
        self.is_unsynced = True

    def folder_moved(self, folder: Path) -> None:
        """Take note that the partition's folder has a new name."""
        self._folder = folder

    def _replace(self, entries: list[tuple[int, int]]) -> None:
        self._entries = entries
        self.latest_epoch = entries[-1][0] if entries else UNDEFINED_EPOCH

    def _replace_and_save(self, entries: list[tuple[int, int]], *, save: bool) -> None:
        if entries != self._entries:
            self._replace(entries)
            if save:
                self.save()
