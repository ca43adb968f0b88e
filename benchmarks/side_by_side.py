"""The same load against headrace and real brokers in one run, as a table of medians and ratios.

    python -m benchmarks.side_by_side --quick
    python -m benchmarks.side_by_side --quick --table kreps
    python -m benchmarks.side_by_side --runs 5 --peers headrace,kafka --rows produce,consume
    python -m benchmarks.side_by_side --from-json out.json --plot out.svg

Targets take turns within each row, so that a noisy minute of the machine meets all of them.  A
broker is started once a row on an empty folder (once a turn where the row ends brokers) and gets a
warm-up before it is measured.  CPU is user plus system time of all processes of the broker or
cluster.  Nothing is synced to disk by any of them.  Peers are installed, fetched or built as
needed; what cannot be had is said and left out, and so is who hangs or dies.
"""

import argparse
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: its neighbours are found as a package all the same
    import runpy

    sys.path[0] = str(Path(__file__).resolve().parents[1])
    runpy.run_module("benchmarks.side_by_side", run_name="__main__", alter_sys=True)

from headrace.api.server.serve import raise_descriptor_limit

from . import (
    rows,
    rows_ceiling,
    rows_clients,
    rows_cluster,
    rows_embedded,
    rows_kreps,
    rows_librdkafka,
    rows_partitions,
)
from .harness import command_shown, commit, machine, stop_on_sigterm
from .peers.brokers import PEERS
from .peers.install import PeerUnavailableError, forbid_installing, limit_preparing
from .peers.peer import Peer
from .plots import plot_shares, require_matplotlib
from .results import Heading, Results, load, markdown, save, shares_of
from .row import Row
from .turns import TOUCHED, TURN_LIMIT_S, Turns, measure_row

ROWS: dict[str, Row] = (
    rows.ROWS
    | rows_kreps.ROWS
    | rows_librdkafka.ROWS
    | rows_ceiling.ROWS
    | rows_clients.ROWS
    | rows_partitions.ROWS
    | rows_cluster.ROWS
    | rows_embedded.ROWS
)
TABLES = {
    "kreps": list(rows_kreps.ROWS),
    "small": ["small", "idle"],
    "latency": ["latency"],
    "batches": ["produce", "produce-1k", "consume", "start"],
    "librdkafka": list(rows_librdkafka.ROWS),
    "ceiling": list(rows_ceiling.ROWS),
    "clients": list(rows_clients.ROWS),
    "partitions": list(rows_partitions.ROWS),
    "cluster": list(rows_cluster.ROWS),
    "embedded": list(rows_embedded.ROWS),
    "all": list(ROWS),
}
# What `--quick` plays unless a table or rows are named: it has to end within ten minutes.
QUICK_ROWS = [*rows_kreps.ROWS, "small", "start"]
# A row whose share is over gets no further turn; the rest of ten minutes is for the turn that each
# row gets in any case on a slow machine.
QUICK_BUDGET_S = 440.0
# What is not prepared, or not measured, by then is left out: the rest is for brokers that stop.
QUICK_PREPARED_S = 300.0
QUICK_END_S = 540.0
RUNS = {"smoke": 1, "quick": 3, "full": 5}
# A turn of a target against one at full size; starting and stopping brokers is the same for all.
SHARE = {"smoke": 0.25, "quick": 0.2, "full": 1.0}
START_S = 5.0


def main() -> int:
    args = _parse_arguments()
    if args.plot:
        require_matplotlib()
    if args.from_json:
        headings, results = load(args.from_json)
        if args.rows or args.table:
            results = results.of_rows(_chosen_rows(args))
        _show(args, headings, results)
        return 0
    return _measure(args)


def _measure(args: argparse.Namespace) -> int:
    stop_on_sigterm()
    started = time.monotonic()
    raise_descriptor_limit()
    if args.no_install:
        forbid_installing()
    is_limited = args.scale == "quick" and not args.runs
    if is_limited:
        limit_preparing(QUICK_PREPARED_S)
    names = _known("--peers", args.peers, PEERS)
    chosen = _chosen_rows(args)
    runs = args.runs or RUNS[args.scale]
    peers, missing = _prepared(names, [ROWS[row] for row in chosen])
    results = Results(columns=list(dict.fromkeys(peer.column for peer in peers)))
    heading = _heading(args, peers, runs) | {"not here": missing or "nothing"}
    turns = Turns(runs, args.scale, started + QUICK_END_S if is_limited else math.inf)
    heading["ground"] = f"{turns.ground.inode_us():.0f} us a new folder or file (ground.py)"
    cut_short: dict[str, str] = {}

    def keep() -> None:
        heading["cut short"] = cut_short or "nothing"
        heading["left out"] = turns.left_out or "nothing"
        heading["took"] = f"{time.monotonic() - started:.0f} s"
        if args.json:
            save(args.json, heading, results)

    turns.keep = keep
    end = started + QUICK_BUDGET_S if is_limited else math.inf
    code = 0
    try:
        _play(chosen, peers, results, turns, end, cut_short)
    except (KeyboardInterrupt, SystemExit) as error:
        heading["ended early"] = repr(error)
        code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 130
    finally:
        turns.ground.clear()
    keep()
    _show(args, [heading], results)
    return code


def _play(
    chosen: list[str],
    peers: list[Peer],
    results: Results,
    turns: Turns,
    end: float,
    cut_short: dict[str, str],
) -> None:
    """One row after the other; says before and between how long it will take."""
    playing = {row: [peer for peer in peers if ROWS[row].is_for(peer)] for row in chosen}
    planned = {row: expected_s(ROWS[row], len(playing[row]), turns) for row in chosen}
    limit_s = TURN_LIMIT_S[turns.scale]
    whole_s = sum(planned.values())
    print(
        f"{len(chosen)} rows, {turns.runs} turns of each target: about {_words(whole_s)}"
        f" on a quiet machine; a turn that takes over {limit_s:.0f} s is given up",
        file=sys.stderr,
    )
    first = time.monotonic()
    for slot, row in enumerate(chosen):
        now = time.monotonic()
        row_end = now + (end - now) / (len(chosen) - slot)
        taken = measure_row(row, ROWS[row], playing[row], results, turns, end=row_end)
        if playing[row] and taken < turns.runs:
            cut_short[row] = f"{taken} of {turns.runs} turns"
        turns.keep()
        passed = time.monotonic() - first
        done = sum(planned[name] for name in chosen[: slot + 1])
        left = whole_s - done
        pace = passed / done if done else 1.0
        print(
            f"{row}: {time.monotonic() - now:.0f} s; {slot + 1} of {len(chosen)} rows, "
            f"about {_words(pace * left)} left",
            file=sys.stderr,
        )


def expected_s(row: Row, peers: int, turns: Turns) -> float:
    """About how long a row takes on a machine of two cores that does nothing else."""
    starts = turns.runs if row.ends_brokers else 1
    return peers * (starts * START_S + turns.runs * SHARE[turns.scale] * row.full_s)


def _words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _heading(args: argparse.Namespace, peers: list[Peer], runs: int) -> Heading:
    """What the numbers belong to."""
    return {
        "machine": machine(),
        "commit": commit(),
        "versions": {peer.name: peer.version for peer in peers},
        "runs": runs,
        "sizes": args.scale,
        "command": command_shown("side_by_side"),
        "fsync": "none (page cache) for every broker",
        "memory": f"{TOUCHED[args.scale] >> 20} MiB touched before every turn of a target, "
        "and before a load what it writes",
    }


def _show(args: argparse.Namespace, headings: list[Heading], results: Results) -> None:
    print(markdown(headings, results.table, results.columns))
    if args.plot:
        title = f"{headings[0]['commit']}, {headings[0]['command']}"
        print(f"\nplot: {plot_shares(args.plot, title, shares_of(results.table))}")


def _chosen_rows(args: argparse.Namespace) -> list[str]:
    if args.rows:
        return _known("--rows", args.rows, ROWS)
    if args.table is None and args.scale == "quick":
        return QUICK_ROWS
    return TABLES[args.table or "all"]


def _prepared(names: list[str], chosen: list[Row]) -> tuple[list[Peer], dict[str, str]]:
    """The peers that some row needs and that can be had, and why others cannot.

    They are prepared side by side, but those of one column, which share what is built, in turn.
    """
    groups: dict[str, list[Peer]] = {}
    for name in names:
        peer = PEERS[name]()
        if any(row.is_for(peer) for row in chosen):
            groups.setdefault(peer.column, []).append(peer)
    missing: dict[str, str] = {}

    def prepare(group: list[Peer]) -> None:
        for peer in group:
            try:
                peer.prepare()
            except PeerUnavailableError as error:
                missing[peer.name] = str(error)
                print(f"without {peer.name}: {error}", file=sys.stderr)

    with ThreadPoolExecutor() as pool:
        list(pool.map(prepare, groups.values()))
    peers = [peer for group in groups.values() for peer in group]
    return [peer for peer in peers if peer.name not in missing], missing


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    for scale, about in (
        ("quick", "small sizes, three runs"),
        ("smoke", "tiny sizes, one run: shows that it works, not how fast it is"),
    ):
        size.add_argument(f"--{scale}", action="store_const", const=scale, dest="scale", help=about)
    parser.add_argument("--runs", type=int, help="how often each figure is taken (3; full 5)")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument(
        "--table", choices=TABLES, help="default: all; of --quick: kreps, small requests, start"
    )
    parser.add_argument("--rows", help=f"instead of a table: any of {', '.join(ROWS)}")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every sample there, after every turn"
    )
    parser.add_argument(
        "--from-json",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing: the table of files that --json wrote, of --rows or --table if given",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="ratios, as PNG or SVG")
    parser.add_argument(
        "--no-install", action="store_true", help="only name the Debian packages that are missing"
    )
    parser.set_defaults(scale="full")
    return parser.parse_args()


def _known(option: str, text: str, known: dict[str, Any]) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"{option} {unknown[0]}: there are {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
