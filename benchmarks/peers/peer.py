"""A broker under load, of one or of several processes: how it is started, what it costs, how it
is stopped.  Counters are read from outside, from /proc."""

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .install import PeerUnavailableError
from .spawn import marked_pids, spawn

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
# What a peer may take for itself behind the port that clients use.
NEIGHBOUR_PORTS = 6
LOWEST_PORT = 10_000
HIGHEST_PORT = 32_000
# Metadata v1 of no topics, correlation id 1, no client id
METADATA_FRAME = bytes.fromhex("0000000e0003000100000001ffff00000000")


class PeerEndedError(PeerUnavailableError):
    """A broker ended by itself before it answered."""


@dataclass
class Peer:
    """Brokers that can be started on a folder; `commands(port, data, settings)` gives a command a
    process, the settings being Kafka's broker settings.

    `prepare` builds or fetches it once and raises PeerUnavailableError where that is not possible.
    Its first broker listens on `port`, the others on `port_step` more each.
    """

    name: str
    version: str
    prepare: Callable[[], None]
    commands: Callable[[int, Path, dict[str, str]], list[list[str]]]
    protocol: str = "kafka"
    brokers: int = 1
    port_step: int = 1
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def column(self) -> str:
        """What its figures stand under: a cluster, or the log in a process, beside the broker."""
        return self.name.removesuffix(f"-{self.brokers}").removesuffix("-embedded")

    def start(self, data: Path) -> "RunningPeer":
        """Brokers that answer; `started_s` is how long that took from the fork.

        One that ends at once gets a second chance: its free port may have been taken meanwhile.
        """
        try:
            return self._start(data)
        except PeerEndedError:
            return self._start(data)

    def _start(self, data: Path) -> "RunningPeer":
        port = free_port()
        commands = self.commands(port, data, self.settings)
        running = RunningPeer(self, port, data, [])
        started = time.perf_counter()
        try:
            with running.log_path.open("ab") as log:
                for command in commands:
                    running.processes.append(
                        spawn(command, log, mark=running.mark, environment=self.environment)
                    )
            running.wait_until_ready(started + START_LIMIT_S)
        except BaseException:
            running.stop()
            raise
        running.started_s = time.perf_counter() - started
        return running


@dataclass
class RunningPeer:
    """Started brokers, all with one mark, so that what they fork is found."""

    peer: Peer
    port: int
    data: Path
    processes: list[subprocess.Popen[bytes]]
    started_s: float = 0.0
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def protocol(self) -> str:
        return self.peer.protocol

    @property
    def ports(self) -> list[int]:
        return [self.port + slot * self.peer.port_step for slot in range(self.peer.brokers)]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def log_path(self) -> Path:
        return self.data.parent / f"{self.name}.log"

    def wait_until_ready(self, deadline: float) -> None:
        """Until each broker answers what a client asks first, and knows all others."""
        while True:
            for process in self.processes:
                if process.poll() is not None:
                    said = self.log_path.read_text(errors="replace").strip().splitlines()[-1:]
                    raise PeerEndedError(
                        f"{self.name} ended with {process.returncode}: {' '.join(said)[:300]}"
                    )
            probe = PROBES[self.protocol]
            if all(probe(port, self.peer.brokers) for port in self.ports):
                return
            if time.perf_counter() > deadline:
                raise PeerUnavailableError(f"{self.name} does not answer on {self.bootstrap}")
            # A process that does not listen yet gives nothing to wait on.
            time.sleep(0.005)

    def pids(self) -> list[int]:
        """Every process that was started, and what these have forked."""
        # Redis writes over its environment.
        started = {process.pid for process in self.processes if process.poll() is None}
        return sorted(started.union(marked_pids(self.mark)))

    def cpu_s(self) -> float:
        """User and system seconds of all threads of all processes, dead threads included."""
        if any(process.poll() is not None for process in self.processes):
            raise PeerUnavailableError(f"{self.name} is gone")
        total = 0.0
        for pid in self.pids():
            # Linux numbers a process's CPU clock after its id (CPUCLOCK_SCHED of clock_gettime(2));
            # it counts nanoseconds where /proc/PID/stat counts hundredths of a second.
            with contextlib.suppress(OSError):
                total += time.clock_gettime((~pid << 3) | 2)
        return total

    def memory_mib(self) -> dict[str, float]:
        """Resident MiB: all of it, and the anonymous part that is the processes' own."""
        sizes = {"VmRSS": 0.0, "RssAnon": 0.0}
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    name, _, value = line.partition(":")
                    if name in sizes:
                        sizes[name] += int(value.split()[0]) / 1024
        return {"rss": sizes["VmRSS"], "anonymous": sizes["RssAnon"]}

    def disk_mib(self) -> float:
        """MiB that its files take on the disk, blocks reserved ahead included."""
        blocks = 0
        for path in self.data.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                blocks += path.lstat().st_blocks
        return blocks * 512 / (1 << 20)

    def stop(self, how: int = signal.SIGTERM) -> float:
        """Seconds that it took to end; killed after 20.  SIGKILL meets every process at once.

        What a command has forked may lie in a group of its own, and may outlive it: whatever is
        left with our mark is killed.
        """
        started = time.perf_counter()
        with_forked = self.pids()
        for pid in with_forked if how == signal.SIGKILL else [p.pid for p in self.processes]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT_S)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        return time.perf_counter() - started

    def restart(self, how: int = signal.SIGTERM) -> None:
        """Stop it and start it on the same data; the port changes, `started_s` is the new one."""
        self.stop(how)
        again = self.peer.start(self.data)
        self.port, self.processes, self.started_s = again.port, again.processes, again.started_s
        self.mark = again.mark


def _ask(port: int, question: bytes) -> bytes:
    """The first bytes of what is answered; nothing where nobody does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            if question:
                connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""


def _kafka_is_ready(port: int, brokers: int) -> bool:
    answer = _ask(port, METADATA_FRAME)
    return len(answer) >= 12 and struct.unpack(">i", answer[8:12])[0] >= brokers


# protocol -> whether the broker at a port answers, and knows that many brokers
PROBES: dict[str, Callable[[int, int], bool]] = {
    "kafka": _kafka_is_ready,
    "redis": lambda port, brokers: _ask(port, b"PING\r\n").startswith(b"+PONG"),
    "nats": lambda port, brokers: _ask(port, b"").startswith(b"INFO"),
    # There is no broker.
    "embedded": lambda port, brokers: True,
}


def free_port() -> int:
    """A free port whose neighbours are free too: controllers and further brokers listen there.

    Below those that connections are given, so that none takes it before the broker does.
    """
    for port in _ports_in_turn():
        with contextlib.ExitStack() as stack:
            try:
                for step in range(NEIGHBOUR_PORTS):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + step))
            except OSError:
                continue
            return port
    raise PeerUnavailableError("no free ports on 127.0.0.1")


def _ports_in_turn() -> Iterator[int]:
    """Each call begins somewhere else, so that runs side by side seldom meet."""
    lowest_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    count = (min(lowest_given, HIGHEST_PORT) - LOWEST_PORT) // NEIGHBOUR_PORTS
    first = random.randrange(count)
    for turn in range(count):
        yield LOWEST_PORT + (first + turn) % count * NEIGHBOUR_PORTS
