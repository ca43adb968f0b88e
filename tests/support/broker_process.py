"""A real broker in a process of its own, which a test may kill and start again on its data."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 60.0


def free_port() -> int:
    """A port nobody listens on, below those that connections are given while a broker is down."""
    for _ in range(100):
        port = next(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def _ports_in_turn() -> Iterator[int]:
    """By blocks that belong to this process alone, so that test runs side by side never meet."""
    lowest_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = max(1024, lowest_given - PORT_BLOCKS * PORTS_A_BLOCK)
    for turn in itertools.count(os.getpid()):
        start = first + turn % PORT_BLOCKS * PORTS_A_BLOCK
        # An abstract name has one owner, and is free again when its process is gone.
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0headrace-test-ports-{start}")
        except OSError:
            mark.close()
            continue
        _MARKS.append(mark)
        yield from range(start, start + PORTS_A_BLOCK)


PORT_BLOCKS, PORTS_A_BLOCK = 240, 50
_MARKS: list[socket.socket] = []
_PORTS = _ports_in_turn()


class BrokerProcess:
    """`headrace server start FILE` on a free port, ready when the `with` block begins.

    The port stays the same over restarts, as the clients of a restarted broker expect.
    """

    def __init__(
        self,
        folder: Path,
        *,
        topics: Mapping[str, int] | None = None,
        config: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        before_exec: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "broker.log"
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._topics = dict(topics or {})
        self._environment = dict(environment or {})
        self._before_exec = before_exec
        self._settings = {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(self.data),
            "node.id": "1",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            **(config or {}),
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        if self._topics:
            self._create_topics()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    def configure(self, settings: Mapping[str, str]) -> None:
        """Settings for the next start, over those it has."""
        self._settings.update(settings)

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def pid_if_running(self) -> int | None:
        """None once it was killed or stopped from here."""
        process = self._process
        return None if process is None else process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither killed nor stopped from here."""
        return self._process is not None

    def start(self) -> None:
        """Start the broker and wait for the line that says it serves."""
        process = self.launch()
        assert process.stdout is not None
        try:
            line = _read_line(process.stdout, READY_WITHIN_S)
        except AssertionError:
            self.kill()  # `with` does not end what it could not enter
            raise
        if "bootstrap" not in line:
            self.kill()
            raise AssertionError(f"the broker did not start:\n{self.log.read_text()}")

    def write_properties(self) -> Path:
        """The file of settings that it starts with."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in self._settings.items()))
        return file

    def launch(self) -> "subprocess.Popen[str]":
        """Start the broker and wait for nothing."""
        file = self.write_properties()
        with self.log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "headrace.api.cli", "server", "start", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **self._environment},
                preexec_fn=self._before_exec,  # noqa: PLW1509 - only sets limits
                text=True,
            )
        self._process = process
        return process

    def kill(self) -> None:
        """SIGKILL: no last word, no marker."""
        process, self._process = self._running(), None
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_WITHIN_S)
        _close(process)

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        return self.stop_by(signal.SIGTERM)

    def stop_by(self, number: signal.Signals) -> int:
        """Send a signal that ends it; its exit code."""
        process = self._running()
        process.send_signal(number)
        code = process.wait(STOP_WITHIN_S)
        self._process = None
        _close(process)
        return code

    def wait_for_exit(self) -> int:
        """Its exit code, once it has stopped by itself."""
        process = self._running()
        code = process.wait(STOP_WITHIN_S)
        self._process = None
        _close(process)
        return code

    def restart(self) -> None:
        """Kill it if it runs, and start it on the same data and port."""
        if self._process is not None:
            self.kill()
        self.start()

    def _running(self) -> "subprocess.Popen[str]":
        assert self._process is not None, "the broker is not running"
        return self._process

    def _create_topics(self) -> None:
        from tests.support.requests import Requester

        with Requester(self.port) as requester:
            requester.create_topics(self._topics)


def _read_line(stream: IO[str], timeout_s: float) -> str:
    """One line, or "" when the process ended; AssertionError when neither comes in time."""
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.append(stream.readline()), daemon=True)
    reader.start()
    reader.join(timeout_s)
    assert lines, f"the broker said nothing within {timeout_s} s"
    return lines[0]


def _close(process: "subprocess.Popen[str]") -> None:
    if process.stdout is not None:
        process.stdout.close()
