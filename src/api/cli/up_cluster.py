"""`headrace up --brokers N`: several real brokers under one parent, to be killed one at a time.

DATA/broker-0 ...             the data folders
DATA/broker-0.properties ...  what each was started with; starts one again after its death
DATA/broker-0.log ...         what each had to say
"""

import argparse
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.address_text import address_text
from ...core.checkpoint_file import META_PROPERTIES_NAME, replace_file
from .common import EXIT_FAILURE, EXIT_OK, EXIT_USAGE, CliError
from .processes import describe_process, process_holding

MAX_BROKERS = 100
MAX_COPIES = 3
_START_DEADLINE_S = 90.0
_SAY_WAITING_S = 5.0
_STOP_DEADLINE_S = 30.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass
class Child:
    """One broker process, its files and its address; `ready` yields bytes once it serves."""

    number: int
    address: str
    data: Path
    properties: Path
    log: Path
    process: subprocess.Popen[bytes]
    ready: int
    descriptor: int

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._lines()[-5:])

    def last_line(self) -> str:
        """What it said last, if anything."""
        return "".join(self._lines()[-1:])

    def _lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()


class Brokers:
    """The children of this process, and the signals that tell it to stop."""

    def __init__(self, data: Path, addresses: list[tuple[str, int]]) -> None:
        self._data = data
        self._addresses = addresses
        self.children: list[Child] = []
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._woken)

    @property
    def bootstrap(self) -> str:
        return ",".join(address_text(*each) for each in self._addresses)

    def start(self, overrides: Mapping[str, str]) -> bool:
        """Start all at once and wait until all serve; False when told to stop meanwhile."""
        for number in range(len(self._addresses)):
            self.children.append(self._start_one(number, overrides))
        waiting = {child.ready: child for child in self.children}
        begun, has_said = time.monotonic(), False
        while waiting:
            awaited_s = _START_DEADLINE_S if has_said else _SAY_WAITING_S
            left = begun + awaited_s - time.monotonic()
            readable, _, _ = select.select([self._wake, *waiting], [], [], max(0.0, left))
            if self._wake in readable:
                return False
            if not readable:
                said = _not_up(waiting.values(), awaited_s)
                if has_said:
                    raise CliError(said)
                print(f"{said}\nwaiting on, up to {_START_DEADLINE_S:.0f} s", file=sys.stderr)
                has_said = True
            for descriptor in readable:
                child = waiting.pop(descriptor)
                if not os.read(descriptor, 4096):
                    raise CliError(
                        f"broker {child.number} did not start; {child.log} says:\n"
                        f"{child.last_words()}"
                    )
        return True

    def _start_one(self, number: int, overrides: Mapping[str, str]) -> Child:
        address = address_text(*self._addresses[number])
        data = self._data / f"broker-{number}"
        properties, log = data.with_suffix(".properties"), data.with_suffix(".log")
        settings = {
            "broker.id": str(number),
            "listeners": f"PLAINTEXT://{address}",
            "log.dirs": str(data.absolute()),
            "controller.quorum.bootstrap.servers": self.bootstrap,
            "default.replication.factor": str(min(MAX_COPIES, len(self._addresses))),
            "group.initial.rebalance.delay.ms": "0",
            **overrides,
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        replace_file(properties, text.encode())  # on a full disk the old ones stay
        ready, writer = os.pipe()
        command = [sys.executable, "-m", "headrace.api.cli", "server", "start", str(properties)]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, "--ready-descriptor", str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writer,),
                process_group=0,  # Ctrl-C is for the parent, which then stops them cleanly
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call
            )
        os.close(writer)
        descriptor = os.pidfd_open(process.pid)
        return Child(number, address, data, properties, log, process, ready, descriptor)

    def wait(self) -> int:
        """Say who ends, until told to stop or until nobody is left; the exit code."""
        alive = {child.descriptor: child for child in self.children}
        while alive:
            readable, _, _ = select.select([self._wake, *alive], [], [])
            if self._wake in readable:
                return EXIT_OK
            for descriptor in readable:
                print(obituary(alive.pop(descriptor)), file=sys.stderr, flush=True)
        print("headrace: no broker is left", file=sys.stderr)
        return EXIT_FAILURE

    def stop(self) -> None:
        """SIGTERM to all that run; SIGKILL to who is still there after the deadline."""
        running = [child for child in self.children if child.process.poll() is None]
        for child in running:
            child.process.terminate()
        deadline = time.monotonic() + _STOP_DEADLINE_S
        for child in running:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                print(f"broker {child.number} does not stop; killing it", file=sys.stderr)
                child.process.kill()
                child.process.wait()


def _not_up(children: Iterable[Child], after_s: float) -> str:
    """Who is awaited, and what each of them waits for."""
    who = "\n".join(f"  broker {each.number}: {each.last_line()}" for each in children)
    return f"not up after {after_s:.0f} s:\n{who}"


def _end_with_parent() -> None:
    """In the child: SIGTERM when the parent dies, however it dies (Linux)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def obituary(child: Child) -> str:
    """Who ended, how, and how it is started again: nobody does that here."""
    code = child.process.wait()
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return (
        f"broker {child.number} (process {child.process.pid}) {how}; it starts again with\n"
        f"  headrace server start {child.properties}"
    )


def run(args: argparse.Namespace, topics: list[tuple[str, int]], overrides: dict[str, str]) -> int:
    """Serves until Ctrl-C or SIGTERM, or until no broker is left; the exit code."""
    if not 1 <= args.brokers <= MAX_BROKERS:
        raise CliError(f"--brokers {args.brokers}: give 1 to {MAX_BROKERS}", EXIT_USAGE)
    if args.advertise is not None:
        raise CliError("--advertise names one address: start such brokers one by one", EXIT_USAGE)
    if (args.data / META_PROPERTIES_NAME).exists():
        raise CliError(
            f"{args.data} is the folder of one broker, whose topics these would not have: choose "
            f"another --data, or serve it alone with `headrace up --data {args.data}`"
        )
    refuse_held_folders(args.data, args.brokers)
    if idle := idle_folders(args.data, args.brokers):
        print(
            f"not started: {', '.join(idle)} in {args.data}; a higher --brokers starts them too",
            file=sys.stderr,
            flush=True,
        )
    addresses = addresses_from(args.listen, args.brokers)
    try:
        args.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"{args.data} cannot be made: {error.strerror}") from error
    brokers = Brokers(args.data, addresses)
    try:
        try:
            if not brokers.start(overrides):
                return EXIT_OK
        except OSError as error:
            raise CliError(f"the brokers cannot be started: {error}") from error
        create_topics(brokers.bootstrap, topics, min(MAX_COPIES, args.brokers))
        print(welcome(brokers.children, brokers.bootstrap), flush=True)
        return brokers.wait()
    finally:
        brokers.stop()


def idle_folders(data: Path, count: int) -> list[str]:
    """Folders of brokers beyond the first `count`, who may be missed where a majority is needed."""
    found = (path.parent.name for path in data.glob(f"broker-*/{META_PROPERTIES_NAME}"))
    started = {f"broker-{number}" for number in range(count)}
    return sorted(set(found) - started)


def refuse_held_folders(data: Path, count: int) -> None:
    """CliError that names the process which holds one of the folders."""
    for number in range(count):
        folder = data / f"broker-{number}"
        pid = process_holding(folder)
        if pid is not None:
            who = describe_process(pid) if pid > 0 else "another process"
            raise CliError(f"{folder} is in use by {who}; stop it, or choose another --data")


def addresses_from(listen: str, count: int) -> list[tuple[str, int]]:
    """HOST and consecutive ports from that of `listen` on; free ones for port 0."""
    from ..broker_config import config_from_up
    from .serving import usage_errors

    with usage_errors():
        listener = config_from_up(Path(), listen, None, {}).listeners[0]
    if listener.port == 0:
        return [(listener.host, port) for port in _free_ports(listener.host, count)]
    if listener.port + count - 1 > 65535:
        raise CliError(f"--listen {listen}: there are no {count} ports from there on", EXIT_USAGE)
    return [(listener.host, listener.port + number) for number in range(count)]


def _free_ports(host: str, count: int) -> list[int]:
    is_v6 = ":" in host
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    probes = [socket.create_server((host, 0), family=family) for _ in range(count)]
    try:
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def create_topics(bootstrap: str, topics: list[tuple[str, int]], copies: int) -> None:
    """The topics of `--topic` that are not there yet, with as many copies as the brokers allow."""
    from .admin_client import AdminClient

    with AdminClient(bootstrap) as client:
        existing = {topic.name for topic in client.topics()}
        for name, count in topics:
            if name not in existing:
                client.create_topic(name, partitions=count, replication_factor=copies)


def welcome(children: list[Child], bootstrap: str) -> str:
    """Who is who, and what a person may try next."""
    rows = "\n".join(
        f"  broker {child.number}   process {child.process.pid}   {child.address}   {child.data}"
        for child in children
    )
    return f"""\
headrace is up: {len(children)} broker{"" if len(children) == 1 else "s"}

{rows}

  bootstrap   {bootstrap}

try:

headrace topics create clicks --partitions 3 --replication-factor {min(MAX_COPIES, len(children))} \
-b {children[0].address}
headrace cluster status --watch -b {bootstrap}
kill -9 {children[0].process.pid}

Ctrl-C stops all of them."""
