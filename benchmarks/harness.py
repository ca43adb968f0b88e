"""What a side-by-side run needs around its rows: machine, memory, load programs, medians."""

import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from .peers.install import BUILD, ROOT, PeerUnavailableError, run_quietly

LOAD_LIMIT_S = 300
RESULT_OPTIONS = ("--json", "--plot", "--format")


@dataclass
class Samples:
    """Every measured value of one figure, and how it is read."""

    unit: str
    better: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self) -> str:
        """Median and spread, as `1.2 (1.1..1.4)`."""
        if not self.values:
            return "-"
        if len(self.values) == 1:
            return number(self.median)
        low, high = number(min(self.values)), number(max(self.values))
        return f"{number(self.median)} ({low}..{high})"


def number(value: float) -> str:
    """Three digits that matter, with M and k for large ones."""
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e6 if unit == "M" else 1e3)
            return f"{scaled:.3g}{unit}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def machine() -> dict[str, Any]:
    """What the numbers belong to."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "memory_gib": round(memory_kib / 1024 / 1024),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit that runs, with a `+` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def keep_json(path: Path, content: dict[str, Any]) -> None:
    """Writes it whole or leaves the file as it was; a full disk is said and ends nothing."""
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_text(json.dumps(content, indent=2))
        beside.replace(path)
    except OSError as error:
        print(f"{path} was not written: {error}", file=sys.stderr)


def stop_on_sigterm() -> None:
    """SIGTERM unwinds as Ctrl-C does, so that the brokers that were started are stopped."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def command_shown(module: str) -> str:
    """How this program was called, without where its results go: that changes no figure."""
    words = iter(sys.argv[1:])
    shown = []
    for word in words:
        if word in RESULT_OPTIONS:
            next(words, None)
        else:
            shown.append(word)
    return " ".join(["python -m", f"benchmarks.{module}", *shown])


@contextlib.contextmanager
def time_limit(limit_s: float, what: str) -> Iterator[None]:
    """Raises PeerUnavailableError where the block takes longer, with where in here it was then.

    For the main thread; a call into C that never looks for signals is not interrupted.
    """
    if limit_s <= 0:
        raise PeerUnavailableError(f"{what}: no time was left for it")

    def ring(_: int, frame: FrameType | None) -> None:
        raise PeerUnavailableError(f"{what}: over {limit_s:.0f} s, in {_place(frame)}")

    before = signal.signal(signal.SIGALRM, ring)
    timer_before = signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer_before)


def _place(frame: FrameType | None) -> str:
    """Our own functions that were running, the innermost last, each with its line."""
    places = []
    while frame is not None:
        code = frame.f_code
        if ROOT / "benchmarks" in Path(code.co_filename).parents:
            places.append(f"{code.co_name} ({Path(code.co_filename).name}:{frame.f_lineno})")
        frame = frame.f_back
    return " > ".join(reversed(places)) or "no function of the benchmarks"


def build_load_program(name: str, libraries: tuple[str, ...] = ()) -> Path:
    """The compiled `benchmarks/load/NAME.c`, rebuilt when its source is newer."""
    source = ROOT / "benchmarks" / "load" / f"{name}.c"
    program = BUILD / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        command = ["gcc", "-O2", "-o", str(program), str(source)]
        run_quietly(
            [*command, *(f"-l{library}" for library in libraries)],
            ROOT,
            "the load programs need gcc and librdkafka-dev",
        )
    return program


def run_loads(
    commands: list[list[object]],
    environment: dict[str, str] | None = None,
    *,
    limit_s: float = LOAD_LIMIT_S,
) -> list[dict[str, Any]]:
    """The same for several load programs at once; all are ended where one fails."""
    with contextlib.ExitStack() as stack:
        running = []
        for command in commands:
            words = [str(word) for word in command]
            process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
            )
            stack.callback(process.kill)
            running.append(process)
        results = []
        for process in running:
            try:
                said, complaint = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                raise PeerUnavailableError(f"a load took over {limit_s:g} s") from None
            if process.returncode:
                last = (complaint.strip() or "a load failed without a word").splitlines()[-1]
                raise PeerUnavailableError(last)
            results.append(json.loads(said))
    return results


def run_load(program: Path, *arguments: object) -> dict[str, Any]:
    """The JSON line of a load program; PeerUnavailableError with its last words otherwise."""
    return run_loads([[program, *arguments]])[0]
