"""A disk that fails on order, for a broker process: `disk_shim.c` preloaded into it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("disk_shim.c")
ORDER_BYTES = 4096


class FaultyDisk:
    """Builds the shim in `folder`; `environment` goes to the process that is to suffer.

    Each order holds until the next one, for what lies in the folder named with it (else for all).
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            pytest.skip("the disk shim needs gcc or clang")
        folder.mkdir(parents=True, exist_ok=True)
        library = folder / "disk_shim.so"
        subprocess.run(
            [
                compiler,
                "-shared",
                "-fPIC",
                "-O1",
                "-U_FORTIFY_SOURCE",
                "-o",
                str(library),
                str(SOURCE),
                "-ldl",
            ],
            check=True,
        )
        self._order = folder / "disk_order"
        self._order.write_bytes(b"-".ljust(ORDER_BYTES, b"\0"))
        self.environment = {"LD_PRELOAD": str(library), "HEADRACE_DISK_SHIM": str(self._order)}

    def works(self) -> None:
        self._give(b"-", None)

    def is_full(self, folder: Path | None = None, *, copies_on_write: bool = False) -> None:
        self._give(b"C" if copies_on_write else b"S", folder)

    def fails_to_sync(self, folder: Path | None = None) -> None:
        self._give(b"E", folder)

    def is_read_only(self, folder: Path | None = None) -> None:
        self._give(b"R", folder)

    def _give(self, order: bytes, folder: Path | None) -> None:
        # In place, because the process has the file mapped; the order itself comes last.
        where = os.fsencode(folder) if folder is not None else b""
        with self._order.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"-" + where.ljust(ORDER_BYTES - 1, b"\0"), 0)
            os.pwrite(file.fileno(), order, 0)
