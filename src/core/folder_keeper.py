"""What the worker does to the folders of logs: makes new names durable, removes deleted folders."""

import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .checkpoint_file import sync_folder
from .clock import Clock
from .worker import Worker

_log = logging.getLogger(__name__)


class FolderKeeper:
    """The chores of one node's folders; the owner's thread calls, the worker does."""

    def __init__(self, clock: Clock, worker: Worker) -> None:
        self._clock = clock
        self._worker = worker
        self._doomed: list[tuple[int, Path]] = []
        self._unsynced: dict[Path, list[Path]] = {}
        self._unsynced_lock = threading.Lock()

    def sync_new(self, folder: Path, on_error: Callable[[BaseException], None]) -> None:
        """Make the new `folder` and what is in it survive a power cut, many with one sync.

        Jobs run in order, so this is done before anything that is flushed for an answer.
        """
        with self._unsynced_lock:
            waiting = self._unsynced.setdefault(folder.parent, [])
            waiting.append(folder)
            if len(waiting) > 1:
                return
        self._worker.submit(lambda: self._sync_names(folder.parent), None, on_error)

    def remove_later(self, folder: Path, delay_ms: int) -> None:
        """Remove `folder` and all that is in it once the delay is over."""
        self._doomed.append((self._clock.monotonic_ms() + delay_ms, folder))
        self.remove_due()

    def remove_due(self) -> None:
        """Remove the folders whose delay is over."""
        now_ms = self._clock.monotonic_ms()
        due = [folder for due_ms, folder in self._doomed if due_ms <= now_ms]
        self._doomed = [each for each in self._doomed if each[0] > now_ms]
        for folder in due:
            self.remove(folder)

    def remove(self, folder: Path) -> None:
        """Remove `folder` and all that is in it; a failure leaves it to the next start."""

        def report(error: BaseException) -> None:
            _log.warning("%s could not be removed: %s; the next start tries again", folder, error)

        self._worker.submit(lambda: _remove_tree(folder), None, report)

    def _sync_names(self, parent: Path) -> None:
        with self._unsynced_lock:
            folders = self._unsynced.pop(parent)
        for folder in folders:
            # Its topic may be deleted by now, and the folder renamed or gone.
            with suppress(FileNotFoundError):
                sync_folder(folder)
        sync_folder(parent)


def _remove_tree(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
