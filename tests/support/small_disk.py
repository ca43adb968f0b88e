"""A file system of few megabytes at a folder, where this user may mount one."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disks(folders: Iterable[Path]) -> Iterator[None]:
    """8 MiB at each of the folders, which are made; the test is skipped where nobody may mount."""
    mounted: list[Path] = []
    try:
        for folder in folders:
            folder.mkdir(parents=True)
            if not mount(folder, "size=8m"):
                pytest.skip("nobody may mount a file system here")
            mounted.append(folder)
        yield
    finally:
        for folder in mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_room(folder: Path) -> None:
    """64 MiB from now on."""
    assert mount(folder, "remount", "size=64m")


def mount(folder: Path, *options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return shutil.which("mount") is not None and not subprocess.run(command, check=False).returncode
