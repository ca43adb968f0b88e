"""Syncs of the imagined machines: what of a log is on disk, and which sync is to fail.

Nothing is synced really.  A sync that fails is as Linux has it: what it should have written counts
as clean from then on, so that no later sync writes it, and after a restart it may be gone.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from headrace.core import log_flusher, mapped_file
from headrace.core.log_flusher import FlushPlan

Kind = Literal["wal", "log"]


class FaultySyncs:
    """The disks of brokers in `folder`/broker-ID."""

    def __init__(self, folder: Path) -> None:
        self.armed: set[tuple[int, Kind]] = set()
        """Whose next sync fails."""
        self.wal_failed: set[int] = set()
        self.log_failed: set[int] = set()
        self._folder = str(folder.resolve())
        self._synced: dict[str, int] = {}
        self._forgotten: set[str] = set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Stand where the system's calls stand."""
        run_plan = FlushPlan.run
        with contextlib.ExitStack() as stack:
            for owner, name in (
                (os, "fdatasync"),
                (os, "fsync"),
                (log_flusher, "sync_descriptor"),
                (mapped_file, "sync_descriptor"),
            ):
                stack.enter_context(mock.patch.object(owner, name, self._sync))
            stack.enter_context(mock.patch.object(FlushPlan, "run", self._noting(run_plan)))
            yield

    def _sync(self, fd: int) -> None:
        if not self.armed:
            return
        path = os.readlink(f"/proc/self/fd/{fd}")
        broker_id = self._broker_of(path)
        if (broker_id, "wal") in self.armed and ".wal" in path:
            self.armed.discard((broker_id, "wal"))
            self.wal_failed.add(broker_id)
            raise OSError(errno.EIO, "the disk does not write")
        if (broker_id, "log") in self.armed and path.endswith(".log"):
            self.armed.discard((broker_id, "log"))
            self.log_failed.add(broker_id)
            self._forgotten.add(os.path.dirname(path))
            raise OSError(errno.EIO, "the disk does not write")

    def _broker_of(self, path: str) -> int:
        if not path.startswith(self._folder):
            return -1
        name = path[len(self._folder) + 1 :].partition("/")[0]
        return int(name.rpartition("-")[2])

    def _noting(self, run: Callable[[FlushPlan], int]) -> Callable[[FlushPlan], int]:
        def run_and_note(plan: FlushPlan) -> int:
            folder = os.path.dirname(os.readlink(f"/proc/self/fd/{plan.descriptors[0]}"))
            end = run(plan)
            if folder not in self._forgotten:
                self._synced[folder] = end
            return end

        return run_and_note

    # -- what is on disk

    def note_end(self, log: Any) -> None:
        """A log ends here now: what stood behind that is no more, on disk or not."""
        folder = str(log.path)
        if self._synced.get(folder, 0) > log.log_end_offset:
            self._synced[folder] = log.log_end_offset

    def synced_end(self, log: Any) -> int:
        """Up to where a log would be found after its machine lost power."""
        return min(self._synced.get(str(log.path), 0), int(log.log_end_offset))

    def restarted(self, broker_id: int) -> None:
        """Its next process finds what is there, and a disk that works."""
        self.armed -= {(broker_id, "wal"), (broker_id, "log")}
        self.wal_failed.discard(broker_id)
        self.log_failed.discard(broker_id)
        prefix = f"{self._folder}/broker-{broker_id}/"
        self._forgotten = {path for path in self._forgotten if not path.startswith(prefix)}
