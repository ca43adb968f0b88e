"""`python -m tests.simulation --seeds 10000`: histories by seed, and the command that replays one.

python -m tests.simulation --seeds 10000              seeds 0 to 9999 of every simulation
python -m tests.simulation --only raft --seed 4711    one history again, with its counts

    raft         groups alone: terms, votes, snapshots, generations
    restless     groups whose leaders die between writing and sending
    early        groups whose brokers die between sending and writing; full disks
    replication  the replicas of one partition: isr, high watermark, truncation, lost tails
    brokers      whole brokers: moves of replicas, unclean elections, syncs that fail
    eligible     whole brokers whose topics ask for two in sync or more: leaders out of the elr
    forgetful    whole brokers that restart and hear at first only of a leader that was replaced
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.simulation.broker_simulation import run_broker_history, run_eligible_history
from tests.simulation.early_leaders import run_early_history
from tests.simulation.forgetful_restarts import run_forgetful_history
from tests.simulation.raft_simulation import run_raft_history
from tests.simulation.replication_simulation import run_replication_history
from tests.simulation.restless_leaders import run_restless_history

SIMULATIONS: dict[str, Callable[[int], Counter[str]]] = {
    "raft": run_raft_history,
    "restless": run_restless_history,
    "early": run_early_history,
    "replication": run_replication_history,
    "brokers": run_broker_history,
    "eligible": run_eligible_history,
    "forgetful": run_forgetful_history,
}
"""name -> runs the history of a seed, raises what breaks it, gives counts of what happened."""

PROGRESS = 1000


def run_seeds(name: str, seeds: range) -> int:
    """Run the histories of `seeds` and print what failed; how many did."""
    started_s = time.monotonic()
    cpu_started_s = time.process_time()
    total: Counter[str] = Counter()
    failed = 0
    for seed in seeds:
        if seed % PROGRESS == 0 and seed > seeds.start:
            print(f"{name}: {seed - seeds.start} histories so far", flush=True)
        try:
            total += SIMULATIONS[name](seed)
        except Exception as violation:
            failed += 1
            print(f"seed {seed}: {violation!r}")
            print(f"  again: python -m tests.simulation --only {name} --seed {seed}", flush=True)
    seconds, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_started_s
    print(
        f"{name}: {len(seeds)} histories, {failed} violations, {seconds:.0f} s, CPU {cpu_s:.0f} s"
    )
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
    names = [options.only] if options.only else list(SIMULATIONS)
    return 1 if sum(run_seeds(name, seeds) for name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
