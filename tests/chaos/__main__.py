"""`python -m tests.chaos`: three real brokers under load, faults by seed, the history judged.

python -m tests.chaos                              each fault once
python -m tests.chaos --faults kill-leader:20      twenty of one kind
python -m tests.chaos --release                    what a release must survive; takes hours
python -m tests.chaos --release --scale 0.02       a part of it
python -m tests.chaos --release --minutes 50       as much of it as begins in that time
python -m tests.chaos --seed 7                     the same faults again, in the same order
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.report import report_lines
from tests.chaos.run import Result, run_chaos
from tests.support.history import now_s
from tests.support.history_checks import Violation

# The release column of the plan: how often each fault is done before a version is released.
RELEASE = {
    "kill-leader": 250,
    "kill-any": 250,
    "kill-all": 100,
    "stop-cleanly": 100,
    "pause-leader": 300,
    "isolate-leader": 75,
    "isolate-from-all": 75,
    "isolate-follower": 50,
    "one-way": 50,
    "deaf": 50,
    "bridge": 50,
    "tear-links": 100,
}
# Faults on one cluster before a fresh one is formed.
ROUNDS_PER_CLUSTER = 25


def planned(args: argparse.Namespace) -> list[str]:
    """The faults to do, shuffled by the seed."""
    counts = dict.fromkeys(FAULTS, 1)
    if args.release:
        counts = {name: max(1, round(count * args.scale)) for name, count in RELEASE.items()}
    if args.faults:
        pairs = [text.partition(":") for text in args.faults]
        counts = {name: int(count or 1) for name, _, count in pairs}
        unknown = counts.keys() - FAULTS.keys()
        if unknown:
            raise SystemExit(f"no fault is called {', '.join(unknown)}: {', '.join(FAULTS)}")
    faults = [name for name, count in counts.items() for _ in range(count)]
    random.Random(args.seed).shuffle(faults)
    return faults


def run_cluster(folder: Path, faults: Sequence[str], *, seed: int, bound_s: float) -> Result:
    """A fresh cluster under `faults`.  One that does not recover is a violation too, and the run
    goes on with the next; the folder stays only where something was wrong."""
    try:
        result = run_chaos(
            folder,
            faults,
            seed=seed,
            say=lambda line: print(f"  {line}", flush=True),
            bound_s=bound_s,
        )
    except AssertionError as error:
        traceback.print_exc()
        return Result(violations=[Violation("I7", f"seed {seed} did not come to its end: {error}")])
    for violation in result.violations:
        print(f"  {violation}", flush=True)
    if not result.violations:
        shutil.rmtree(folder)
    return result


def run_clusters(args: argparse.Namespace, scratch: Path, results: list[Result]) -> None:
    """All faults in turn, a fresh cluster every so many; `results` grows meanwhile."""
    faults = planned(args)
    started_s = now_s()
    for number, start in enumerate(range(0, len(faults), ROUNDS_PER_CLUSTER)):
        if args.minutes is not None and now_s() - started_s > args.minutes * 60:
            print(f"{start} of {len(faults)} faults in {args.minutes:g} minutes")
            return
        folder = (args.keep or scratch) / f"run-{number}"
        seed = args.seed * 1_000 + number
        print(f"cluster {number + 1}, seed {seed}, in {folder}", flush=True)
        part = faults[start : start + ROUNDS_PER_CLUSTER]
        results.append(run_cluster(folder, part, seed=seed, bound_s=args.bound))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--release", action="store_true", help="the release column of the plan")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of --release")
    parser.add_argument("--minutes", type=float, help="begin no cluster after so long")
    parser.add_argument("--faults", nargs="*", metavar="NAME[:COUNT]", help=", ".join(FAULTS))
    parser.add_argument("--bound", type=float, default=5.0, help="longest pause allowed, seconds")
    parser.add_argument("--keep", type=Path, help="a folder for the data and logs of what failed")
    args = parser.parse_args()
    results: list[Result] = []
    # Whoever ends a run of hours wants to know what it has shown so far.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            run_clusters(args, Path(scratch), results)
        except KeyboardInterrupt:
            print("ended before its time: what was done until then")
    print("\n".join(report_lines(results)))
    return 1 if any(result.violations for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
