"""A real folder whose machine loses power: what was not synced is forgotten.

Between `watching()` and its end every call that changes a file is a possible moment of power loss.
`on_moment` gets what it could leave behind, the worst kinds: file contents as of their last sync
(nothing of a later write, or a piece of it), names as of the folder's last sync or as now.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

Image = dict[str, bytes]
"""File name -> content."""


@dataclass
class ForgetfulDisk:
    """Watches one flat folder; `on_moment` is called with the images of each moment."""

    folder: Path
    on_moment: Callable[[list[Image]], None]
    _synced: dict[int, bytes] = field(default_factory=dict)
    """inode -> content at its last sync"""
    _synced_names: dict[str, int] = field(default_factory=dict)
    """name -> inode at the folder's last sync"""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Patch the calls of `os` that change files or sync them."""
        self._sync_everything()
        with contextlib.ExitStack() as stack:
            for name in ("pwrite", "posix_fallocate", "ftruncate", "rename"):
                stack.enter_context(mock.patch.object(os, name, self._change(getattr(os, name))))
            stack.enter_context(mock.patch.object(os, "fdatasync", self._sync(os.fdatasync)))
            stack.enter_context(mock.patch.object(os, "fsync", self._sync(os.fsync)))
            stack.enter_context(mock.patch.object(Path, "unlink", self._change(Path.unlink)))
            yield

    def _change(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            result = real(*arguments, **named)
            self.on_moment(self._images())
            return result

        return call

    def _sync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def call(fd: int) -> None:
            self.on_moment(self._images())
            real(fd)
            inode = os.fstat(fd).st_ino
            if inode == self.folder.stat().st_ino:
                self._synced_names = self._names()
            else:
                with open(f"/proc/self/fd/{fd}", "rb") as file:
                    self._synced[inode] = file.read()
            self.on_moment(self._images())

        return call

    def _names(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.folder.iterdir()}

    def _sync_everything(self) -> None:
        self._synced_names = self._names()
        for name, inode in self._synced_names.items():
            self._synced[inode] = (self.folder / name).read_bytes()

    def _images(self) -> list[Image]:
        present = {
            inode: (self.folder / name).read_bytes() for name, inode in self._names().items()
        }
        images: list[Image] = []
        for names in (self._names(), self._synced_names):
            synced = {name: self._synced.get(inode, b"") for name, inode in names.items()}
            written = {name: present.get(inode, synced[name]) for name, inode in names.items()}
            images += [synced, written]
            images += [_torn(synced, written, keep) for keep in (1, 3)]
        return images


def _torn(synced: Image, written: Image, quarters: int) -> Image:
    """Of what was written since the sync, a part made it to the disk."""
    torn = {}
    for name, old in synced.items():
        new = written[name]
        cut = _first_difference(old, new)
        cut += (len(new.rstrip(b"\0")) - cut) * quarters // 4
        torn[name] = new[:cut] + old[cut : len(new)].ljust(len(new) - cut, b"\0")
    return torn


def _first_difference(old: bytes, new: bytes) -> int:
    for place, (before, after) in enumerate(zip(old, new, strict=False)):
        if before != after:
            return place
    return min(len(old), len(new))


def restore(image: Image, folder: Path) -> Path:
    """The folder that a machine finds after this power loss."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in image.items():
        (folder / name).write_bytes(content)
    return folder
