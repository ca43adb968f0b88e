"""`python -m tests.simulation --seeds 10000`: histories by seed, and the command that replays one.

python -m tests.simulation --seeds 10000              seeds 0 to 9999 of every simulation
python -m tests.simulation --only raft --seed 4711    one history again, with its counts
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.simulation.raft_simulation import run_raft_history

SIMULATIONS: dict[str, Callable[[int], Counter[str]]] = {"raft": run_raft_history}
"""name -> runs the history of a seed, raises AssertionError, gives counts of what happened."""

PROGRESS = 1000


def run_seeds(name: str, seeds: range) -> int:
    """Run the histories of `seeds` and print what failed; how many did."""
    started_s = time.monotonic()
    total: Counter[str] = Counter()
    failed = 0
    for seed in seeds:
        if seed % PROGRESS == 0 and seed > seeds.start:
            print(f"{name}: {seed - seeds.start} histories so far", flush=True)
        try:
            total += SIMULATIONS[name](seed)
        except AssertionError as violation:
            failed += 1
            print(f"seed {seed}: {violation}")
            print(f"  again: python -m tests.simulation --only {name} --seed {seed}", flush=True)
    seconds = time.monotonic() - started_s
    print(f"{name}: {len(seeds)} histories, {failed} violations, {seconds:.0f} s")
    print("  " + ", ".join(f"{what} {count}" for what, count in sorted(total.items())))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--only", choices=sorted(SIMULATIONS), help="only this simulation")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seeds = range(options.first, options.first + options.seeds)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    names = [options.only] if options.only else sorted(SIMULATIONS)
    return 1 if sum(run_seeds(name, seeds) for name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
