"""What the worker does to the folders of logs: makes new names durable, removes deleted folders."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .checkpoint_file import sync_folder
from .clock import Clock
from .worker import Worker

_log = logging.getLogger(__name__)


class FolderKeeper:
    """The chores of one node's folders; the owner's thread calls, the worker does.

    `on_synced` is called there whenever new names will survive a power cut.
    """

    def __init__(self, clock: Clock, worker: Worker, on_synced: Callable[[], None]) -> None:
        self._clock = clock
        self._worker = worker
        self._on_synced = on_synced
        self._doomed: list[tuple[int, Path]] = []
        self._unsynced: set[Path] = set()
        self._unsynced_lock = threading.Lock()
        self._held: dict[Path, Callable[[BaseException], None]] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Sync what is new in this block when it ends: a sync on the way would slow down both."""
        held: dict[Path, Callable[[BaseException], None]] = {}
        self._held = held
        try:
            yield
        finally:
            self._held = None
            for parent, on_error in held.items():
                self._sync_later(parent, on_error)

    def sync_new(self, folder: Path, on_error: Callable[[BaseException], None]) -> None:
        """Make the name of the new `folder` survive a power cut, many names with one sync.

        What is in it is synced with the first flush of its log.  Jobs run in order, so this is done
        before anything that is flushed for an answer.
        """
        if self._held is not None:
            self._held[folder.parent] = on_error
            return
        self._sync_later(folder.parent, on_error)

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

        self._worker.submit(lambda: remove_tree(folder), None, report)

    def _sync_later(self, parent: Path, on_error: Callable[[BaseException], None]) -> None:
        with self._unsynced_lock:
            if parent in self._unsynced:
                return
            self._unsynced.add(parent)
        self._worker.submit(lambda: self._sync_names(parent), lambda _: self._on_synced(), on_error)

    def _sync_names(self, parent: Path) -> None:
        with self._unsynced_lock:
            self._unsynced.remove(parent)
        sync_folder(parent)


def remove_tree(folder: Path, *, ignore_errors: bool = False) -> None:
    """Delete a folder with all that is in it, if it is there."""
    # It brings bz2 and lzma with it, and few starts of a broker have anything to delete.
    import shutil

    with suppress(FileNotFoundError):
        shutil.rmtree(folder, ignore_errors=ignore_errors)
