"""Every broker that stands side by side, as a `Peer`; PEERS has them by name.

`headrace-3` and `kafka-3` are clusters of three brokers on this machine, for the rows that have
three replicas.  kfake has no replication; Redis and NATS play the rows of one broker only.
`headrace-embedded` and the Python libraries are logs inside a process, for the row of that name.
"""

import compileall
import contextlib
import importlib.metadata
import sqlite3
import subprocess
import sys
from pathlib import Path

import headrace

from .apache_kafka import KAFKA_VERSION, PORT_STEP, kafka_commands, prepare_kafka
from .install import (
    BUILD,
    ROOT,
    PeerUnavailableError,
    need_module,
    need_program,
    run_quietly,
)
from .peer import Peer

HEADRACE = [sys.executable, "-m", "headrace.api.cli"]
CLUSTER_BROKERS = 3


Settings = dict[str, str]


def _headrace_commands(port: int, data: Path, settings: Settings) -> list[list[str]]:
    overrides = [word for pair in settings.items() for word in ("--override", "=".join(pair))]
    up = [*HEADRACE, "up", "--data", str(data), "--listen", f"127.0.0.1:{port}"]
    return [[*up, *overrides]]


def headrace_cluster_commands(port: int, data: Path, settings: Settings) -> list[list[str]]:
    """One parent that starts three brokers on consecutive ports, each in a folder of its own."""
    (command,) = _headrace_commands(port, data, settings)
    return [[*command, "--brokers", str(CLUSTER_BROKERS)]]


def _headrace_version() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return f"{headrace.__version__} {commit}"


def _prepare_headrace() -> None:
    """headrace is this very package; its bytecode is written here, as pip does on installing."""
    compileall.compile_dir(Path(headrace.__file__).parent, quiet=2)


def _prepare_headrace_cluster() -> None:
    _prepare_headrace()
    said = subprocess.run([*HEADRACE, "up", "--help"], check=True, capture_output=True, text=True)
    if "--brokers" not in said.stdout:
        raise PeerUnavailableError("not available: `headrace up` has no --brokers yet")


def _prepare_go_peer(name: str) -> None:
    """Builds the Go module of `benchmarks/peers/NAME` into build/ where it is new or changed."""
    module, program = ROOT / "benchmarks" / "peers" / name, BUILD / name
    sources = [module / "go.mod", module / "main.go"]
    newest = max(path.stat().st_mtime for path in sources)
    if not program.exists() or program.stat().st_mtime < newest:
        need_program("go", debian="golang-go")
        BUILD.mkdir(parents=True, exist_ok=True)
        run_quietly(["go", "build", "-o", str(program), "."], module, "needs go 1.26 or newer")


def _go_version(name: str, module: str) -> str:
    """The version of `module` that a peer's go.mod asks for."""
    for line in (ROOT / "benchmarks" / "peers" / name / "go.mod").read_text().splitlines():
        words = line.removeprefix("require ").split()
        if words and words[0].endswith(module):
            return words[1]
    return "unknown"


def _go_peer(name: str, module: str, protocol: str) -> Peer:
    return Peer(
        name,
        _go_version(name, module),
        lambda: _prepare_go_peer(name),
        lambda port, data, _: [[str(BUILD / name), "-port", str(port), "-data", str(data)]],
        protocol=protocol,
    )


def _redis_commands(port: int, data: Path, _: Settings) -> list[list[str]]:
    """Every command is appended to a file, which is never synced: what the others do too."""
    listen = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]
    return [["redis-server", *listen, "--appendonly", "yes", "--appendfsync", "no", "--save", ""]]


def _redis() -> Peer:
    def prepare() -> None:
        need_program("redis-server", debian="redis-server")
        said = subprocess.run(
            ["redis-server", "--version"], check=True, capture_output=True, text=True
        ).stdout
        peer.version = said.partition("v=")[2].split()[0] or "unknown"

    peer = Peer("redis", "unknown", prepare, _redis_commands, protocol="redis")
    return peer


def _library(name: str, module: str, pypi: str) -> Peer:
    """A log inside a process: there is nothing to start."""

    def prepare() -> None:
        need_module(module, pypi=pypi)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            peer.version = importlib.metadata.version(pypi)

    peer = Peer(name, "unknown", prepare, lambda port, data, _: [], protocol="embedded")
    return peer


def _sqlite() -> Peer:
    version = sqlite3.sqlite_version
    return Peer("sqlite3", version, lambda: None, lambda port, data, _: [], protocol="embedded")


PEERS = {
    "headrace": lambda: Peer(
        "headrace", _headrace_version(), _prepare_headrace, _headrace_commands
    ),
    "kafka": lambda: Peer(
        "kafka",
        KAFKA_VERSION,
        prepare_kafka,
        lambda port, data, settings: kafka_commands(port, data, settings, brokers=1),
    ),
    "kfake": lambda: _go_peer("kfake", "/pkg/kfake", "kafka"),
    "redis": _redis,
    "nats": lambda: _go_peer("nats", "/nats-server/v2", "nats"),
    "headrace-3": lambda: Peer(
        "headrace-3",
        _headrace_version(),
        _prepare_headrace_cluster,
        headrace_cluster_commands,
        brokers=CLUSTER_BROKERS,
    ),
    "kafka-3": lambda: Peer(
        "kafka-3",
        KAFKA_VERSION,
        prepare_kafka,
        lambda port, data, settings: kafka_commands(port, data, settings, brokers=CLUSTER_BROKERS),
        brokers=CLUSTER_BROKERS,
        port_step=PORT_STEP,
    ),
    "headrace-embedded": lambda: Peer(
        "headrace-embedded",
        _headrace_version(),
        _prepare_headrace,
        lambda port, data, settings: [],
        protocol="embedded",
    ),
    "mmapq": lambda: _library("mmapq", "mmapq", "mmapq"),
    "sqlite3": _sqlite,
    "diskcache": lambda: _library("diskcache", "diskcache", "diskcache"),
    "persist-queue": lambda: _library("persist-queue", "persistqueue", "persist-queue"),
}
