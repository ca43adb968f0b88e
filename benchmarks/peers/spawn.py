"""Starts brokers so that the scheduler takes each of their processes for as much as the client's.

Where Linux groups what runs by session (`kernel.sched_autogroup_enabled`, the default of most
desktops' kernels) each session gets the same share of a core that several want: three brokers under
one parent as much together as one that was started alone, or as a client.  So all stay in the
session of who measures, in process groups of their own: Ctrl-C is not for them.  What a command
forks has its mark in its environment and is found by that.
"""

import os
import subprocess
from pathlib import Path
from typing import BinaryIO

MARK = "HEADRACE_BENCHMARK_PEER"


def spawn(
    command: list[str],
    log: BinaryIO,
    *,
    mark: str = "",
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """The process, which writes all that it says to `log`."""
    return subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | (environment or {}) | {MARK: mark},
        process_group=0,
    )


def marked_pids(mark: str) -> list[int]:
    """Every process that has this mark from who started it, or from its parent."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inherited = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or is another user's
            continue
        if wanted in inherited:
            found.append(int(entry.name))
    return found
