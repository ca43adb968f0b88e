"""The folders that a run writes into: emptied when they have served, deleted when it ends.

ext4 gives out no inode that was deleted in the last minutes if it can help it, and looks through
all of them for one that it may: after a thousand partitions were deleted, the next folder or file
beside them took 300-600 us of the kernel's CPU, where it takes 15-50 on fresh ground.  That made
creating 1,000 x 3 partitions look four times slower from the second turn on.  So nothing is deleted
between turns, files only lose their content; and what an inode costs when the run begins is said,
since whoever deleted files nearby a moment ago has spoilt the ground for this run too.
"""

import shutil
import tempfile
import time
from pathlib import Path

PROBES = 200


class Ground:
    """Makes folders for rows and keeps them until it is cleared."""

    def __init__(self) -> None:
        self._folders: list[Path] = []

    def fresh(self) -> Path:
        """A new folder in the place for temporary files (TMPDIR)."""
        folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
        self._folders.append(folder)
        return folder

    def inode_us(self) -> float:
        """Microseconds that a new folder or file takes here now."""
        folder = self.fresh()
        started_s = time.perf_counter()
        for number in range(PROBES):
            made = folder / str(number)
            made.mkdir()
            (made / "file").touch()
        return 1e6 * (time.perf_counter() - started_s) / (2 * PROBES)

    def clear(self) -> None:
        """Deletes every folder that was made."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()


def empty(folder: Path) -> None:
    """Gives the disk back what the files below `folder` hold; they stay, with nothing in them.

    For brokers that have stopped: nothing may have these files mapped.
    """
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("r+b") as file:
                file.truncate()
