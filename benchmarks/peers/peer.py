"""A broker process under load: how it is started, what it costs, how it is stopped."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "benchmarks"
START_LIMIT_S = 60.0


class PeerUnavailableError(Exception):
    """A peer cannot be had on this machine; the text says what is missing."""


@dataclass
class Peer:
    """A broker that can be started on a folder; `command(port, data)` gives its command line.

    `prepare` builds or fetches it once and raises PeerUnavailableError where that is not possible.
    """

    name: str
    version: str
    prepare: Callable[[], None]
    command: Callable[[int, Path], list[str]]
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, data: Path) -> "RunningPeer":
        """A broker that answers ApiVersions; `started_s` is how long that took from the fork."""
        port = free_port()
        command = self.command(port, data)
        log = (data.parent / f"{self.name}.log").open("ab")
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | self.environment,
            start_new_session=True,
        )
        log.close()
        running = RunningPeer(
            self.name, self.version, port, data, process, lambda: self.start(data)
        )
        try:
            running.wait_until_ready(started + START_LIMIT_S)
        except BaseException:
            running.stop()
            raise
        running.started_s = time.perf_counter() - started
        return running


@dataclass
class RunningPeer:
    """A started broker; counters are read from /proc."""

    name: str
    version: str
    port: int
    data: Path
    process: subprocess.Popen[bytes]
    start_again: Callable[[], "RunningPeer"]
    started_s: float = 0.0

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def _log_path(self) -> Path:
        return self.data.parent / f"{self.name}.log"

    def wait_until_ready(self, deadline: float) -> None:
        """Until a Metadata request is answered: the first thing that any client asks."""
        while True:
            if self.process.poll() is not None:
                said = self._log_path.read_text(errors="replace").strip().splitlines()[-1:]
                raise PeerUnavailableError(
                    f"{self.name} ended with {self.process.returncode}: {' '.join(said)[:300]}"
                )
            if self._answers_metadata():
                return
            if time.perf_counter() > deadline:
                raise PeerUnavailableError(f"{self.name} does not answer on {self.bootstrap}")
            # A process that does not listen yet gives nothing to wait on.
            time.sleep(0.005)

    def _answers_metadata(self) -> bool:
        # Metadata v1 of no topics, correlation id 1, no client id
        frame = bytes.fromhex("0000000e0003000100000001ffff00000000")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(frame)
                return len(connection.recv(8)) > 0
        except OSError:
            return False

    def cpu_s(self) -> float:
        """User and system seconds of all threads, dead ones included."""
        # Linux numbers a process's CPU clock after its id (CPUCLOCK_SCHED of clock_gettime(2)); it
        # counts nanoseconds where /proc/PID/stat counts hundredths of a second.
        clock = (~self.process.pid << 3) | 2
        try:
            return time.clock_gettime(clock)
        except OSError:
            raise PeerUnavailableError(f"{self.name} is gone") from None

    def memory_mib(self) -> dict[str, float]:
        """Resident MiB: all of it, and the anonymous part that is the process's own."""
        sizes = {}
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmRSS", "RssAnon"):
                sizes[name] = int(value.split()[0]) / 1024
        return {"rss": sizes["VmRSS"], "anonymous": sizes["RssAnon"]}

    def stop(self, how: int = signal.SIGTERM) -> float:
        """Seconds that it took to end; killed after 20."""
        started = time.perf_counter()
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return time.perf_counter() - started

    def restart(self, how: int = signal.SIGTERM) -> None:
        """Stop it and start it on the same data; the port changes, `started_s` is the new one."""
        self.stop(how)
        again = self.start_again()
        self.port, self.process, self.started_s = again.port, again.process, again.started_s


def free_port() -> int:
    """A free port whose neighbour is free too: Kafka's controller listens there."""
    while True:
        with socket.socket() as probe, socket.socket() as neighbour:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                neighbour.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def run_quietly(command: list[str], folder: Path, missing: str) -> None:
    """Runs a build step; PeerUnavailableError with its last lines where it fails."""
    try:
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise PeerUnavailableError(missing) from None
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise PeerUnavailableError(f"{' '.join(command[:3])}: {' '.join(lines)}")
