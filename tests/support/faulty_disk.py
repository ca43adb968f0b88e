"""A disk that fails on order, for a broker process: `disk_shim.c` preloaded into it."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("disk_shim.c")


class FaultyDisk:
    """Builds the shim in `folder`; `environment` goes to the process that is to suffer."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            pytest.skip("the disk shim needs gcc or clang")
        library = folder / "disk_shim.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"],
            check=True,
        )
        self._order = folder / "disk_order"
        self._order.write_bytes(b"-")
        self.environment = {"LD_PRELOAD": str(library), "HEADRACE_DISK_SHIM": str(self._order)}

    def works(self) -> None:
        self._give(b"-")

    def is_full(self) -> None:
        self._give(b"S")

    def fails_to_sync(self) -> None:
        self._give(b"E")

    def _give(self, order: bytes) -> None:
        # In place: the process has the file mapped.
        with self._order.open("r+b") as file:
            file.write(order)
