"""Single brokers of a running cluster: found by their port, killed, paused, started again."""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from headrace.api.cli.processes import process_listening_on

from .install import PeerUnavailableError
from .peer import PROBES, RunningPeer
from .spawn import spawn

ENDED_WITHIN_S = 60.0
READY_WITHIN_S = 60.0
# What a parent gave its child to say that it serves: nobody listens there any more.
_READY_DESCRIPTOR = re.compile(rb"--ready-descriptor\0\d+\0")


@dataclass
class Members:
    """The brokers of `peer` by number; those started here are ended behind the `with` block."""

    peer: RunningPeer
    _commands: dict[int, tuple[list[str], Path]] = field(default_factory=dict)
    _started: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def pid(self, number: int) -> int:
        found = process_listening_on(self.peer.ports[number])
        if found is None:
            raise PeerUnavailableError(f"{self.peer.name}: broker {number} does not listen")
        return found

    def end(self, number: int, how: int = signal.SIGKILL) -> float:
        """Send a signal that ends it; seconds until it is gone."""
        pid = self.pid(number)
        raw = _READY_DESCRIPTOR.sub(b"", Path(f"/proc/{pid}/cmdline").read_bytes())
        words = [word.decode() for word in raw.rstrip(b"\0").split(b"\0")]
        self._commands[number] = (words, Path(os.readlink(f"/proc/{pid}/cwd")))
        descriptor = os.pidfd_open(pid)
        started = time.perf_counter()
        try:
            os.kill(pid, how)
            if not select.select([descriptor], [], [], ENDED_WITHIN_S)[0]:
                raise PeerUnavailableError(f"{self.peer.name}: broker {number} does not end")
        finally:
            os.close(descriptor)
        child = self._started.pop(number, None)
        if child is not None:
            child.wait()
        return time.perf_counter() - started

    def start(self, number: int) -> None:
        """Start it again as it was started; returns once it answers."""
        words, folder = self._commands[number]
        with self.peer.log_path.open("ab") as log:
            self._started[number] = spawn(words, log, folder=folder)
        deadline = time.perf_counter() + READY_WITHIN_S
        # A process that does not listen yet gives nothing to wait on.
        while not PROBES["kafka"](self.peer.ports[number], 1):
            if time.perf_counter() > deadline:
                raise PeerUnavailableError(f"{self.peer.name}: broker {number} does not come back")
            time.sleep(0.005)

    @contextmanager
    def paused(self, number: int) -> Iterator[None]:
        """SIGSTOP for the block."""
        pid = self.pid(number)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def cpu_s(self) -> float:
        """User and system seconds of all brokers as they run now."""
        clocks = [(~self.pid(number) << 3) | 2 for number in range(self.peer.peer.brokers)]
        return sum(time.clock_gettime(clock) for clock in clocks)

    def rss_mib(self) -> float:
        """Resident MiB of all brokers."""
        total = 0
        for number in range(self.peer.peer.brokers):
            status = Path(f"/proc/{self.pid(number)}/status").read_text()
            total += next(
                int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")
            )
        return total / 1024

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started here."""
        for child in self._started.values():
            child.kill()
            child.wait()
        self._started.clear()
