"""Where does the broker spend its time?  A flame graph of headrace under a load, in one command.

    python -m benchmarks.profile produce --svg build/produce.svg
    python -m benchmarks.profile fetch --tool py-spy --svg build/fetch.svg

`perf` sees the kernel and C; `py-spy --native` (pip install py-spy) sees Python's own functions too
and is what is taken where perf does not work.  The load is librdkafka's, 100-byte messages.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from .flame_graph import Stacks, fold_perf_script, fold_raw, svg
from .harness import run_loads
from .loads import consume_command, produce_command, request_command
from .peers.brokers import PEERS
from .peers.install import PeerUnavailableError, need_program, need_script
from .peers.peer import RunningPeer
from .resident_memory import TOUCH_BYTES, touch_memory
from .topics import create_ready_topic

TOPIC = "profiled"
MESSAGES = 2_000_000
SMALL_REQUESTS = 200_000
MESSAGE_BYTES = 100
SAMPLES_PER_S = 199
# One stack of the broker is some 40 frames deep.
STACK_BYTES = 16384


def main() -> int:
    args = _parse_arguments()
    folder = Path(tempfile.mkdtemp(prefix="headrace-profile-"))
    (folder / "data").mkdir()
    try:
        peer = PEERS["headrace"]()
        peer.prepare()
        running = peer.start(folder / "data")
        try:
            create_ready_topic(running, TOPIC)
            command = LOADS[args.load](running, 100 if args.smoke else 1)
            touch_memory(TOUCH_BYTES >> 6 if args.smoke else TOUCH_BYTES)
            seconds = 1 if args.smoke else args.seconds
            stacks = _under_load(running, command, TOOLS[args.tool], seconds, folder)
        finally:
            running.stop()
    except PeerUnavailableError as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not stacks:
        sys.exit(f"{args.tool} saw nothing: is it allowed to watch other processes here?")
    args.svg.parent.mkdir(parents=True, exist_ok=True)
    title = f"headrace under {args.load}, {args.tool}, {sum(stacks.values()):,} samples"
    args.svg.write_text(svg(stacks, title))
    _print_hottest(stacks)
    print(f"flame graph: {args.svg}")
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("load", choices=LOADS)
    parser.add_argument("--svg", type=Path, metavar="FILE", required=True)
    parser.add_argument("--tool", choices=TOOLS, default="perf")
    parser.add_argument("--seconds", type=int, default=10, metavar="N")
    parser.add_argument(
        "--smoke", action="store_true", help="one second of a tiny load: shows that it works"
    )
    return parser.parse_args()


def _produce_load(peer: RunningPeer, share: int) -> list[object]:
    count = MESSAGES // share
    return produce_command(peer, TOPIC, count, MESSAGE_BYTES, "linger.ms=5", "acks=1")


def _fetch_load(peer: RunningPeer, share: int) -> list[object]:
    run_loads([_produce_load(peer, share)])
    return consume_command(peer, TOPIC, MESSAGES // share)


def _small_load(peer: RunningPeer, share: int) -> list[object]:
    return request_command(peer, TOPIC, SMALL_REQUESTS // share, 64)


# name -> the command of the load, a `share`-th of it; repeated for as long as the profile takes
LOADS: dict[str, Callable[[RunningPeer, int], list[object]]] = {
    "produce": _produce_load,
    "fetch": _fetch_load,
    "small": _small_load,
}


def _under_load(
    peer: RunningPeer,
    command: list[object],
    watch: Callable[[int, int, Path], Stacks],
    seconds: int,
    folder: Path,
) -> Stacks:
    """Repeats the load in a thread until the profile is taken."""
    is_over = threading.Event()
    failures: list[PeerUnavailableError] = []

    def repeat() -> None:
        try:
            while not is_over.is_set():
                run_loads([command])
        except PeerUnavailableError as error:
            failures.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        return watch(peer.processes[0].pid, seconds, folder)
    finally:
        is_over.set()
        thread.join()
        for failure in failures:
            print(f"the load ended early: {failure}", file=sys.stderr)


def _perf(pid: int, seconds: int, folder: Path) -> Stacks:
    """What `perf record` saw; stacks by DWARF, since nothing here keeps frame pointers."""
    need_program("perf", debian="linux-perf")
    data = folder / "perf.data"
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(SAMPLES_PER_S)]
    record += ["--call-graph", f"dwarf,{STACK_BYTES}", "-p", str(pid), "-o", str(data)]
    _run([*record, "--", "sleep", str(seconds)])
    return fold_perf_script(_run(["perf", "script", "--no-inline", "-i", str(data)]))


def _py_spy(pid: int, seconds: int, folder: Path) -> Stacks:
    need_script("py-spy", pypi="py-spy")
    raw = folder / "stacks.txt"
    record = ["py-spy", "record", "--native", "--format", "raw", "--rate", str(SAMPLES_PER_S)]
    _run([*record, "--duration", str(seconds), "--pid", str(pid), "--output", str(raw)])
    return fold_raw(raw.read_text())


TOOLS = {"perf": _perf, "py-spy": _py_spy}


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        raise PeerUnavailableError(f"{command[0]} failed: {said}")
    return done.stdout


def _print_hottest(stacks: Stacks) -> None:
    """The innermost functions with most samples of their own."""
    own: Stacks = Stacks()
    for frames, count in stacks.items():
        own[(frames[-1],)] += count
    whole = sum(stacks.values())
    for (name,), count in own.most_common(15):
        print(f"{100 * count / whole:6.1f} %  {name}")


if __name__ == "__main__":
    sys.exit(main())
