"""The same load against headrace and real brokers in one run, as a table of medians and ratios.

    python -m benchmarks.side_by_side --quick
    python -m benchmarks.side_by_side --quick --table kreps
    python -m benchmarks.side_by_side --runs 5 --peers headrace,kafka --rows produce,consume
    python -m benchmarks.side_by_side --from-json out.json --plot out.svg

Targets take turns within each row, so that a noisy minute of the machine meets all of them.  A
broker is started once a row on an empty folder (once a turn where the row ends brokers) and gets a
warm-up before it is measured.  CPU is user plus system time of all processes of the broker or
cluster.  Nothing is synced to disk by any of them.  Peers are installed, fetched or built as
needed; what cannot be had is said and left out, and so is who hangs.
"""

import argparse
import contextlib
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from headrace.api.server.serve import raise_descriptor_limit

from . import (
    rows,
    rows_ceiling,
    rows_clients,
    rows_cluster,
    rows_kreps,
    rows_librdkafka,
    rows_partitions,
)
from .harness import (
    TOUCH_BYTES,
    Samples,
    command_shown,
    machine,
    stop_on_sigterm,
    time_limit,
    touch_memory,
)
from .peers.brokers import PEERS
from .peers.install import ROOT, PeerUnavailableError, forbid_installing, limit_preparing
from .peers.peer import Peer, RunningPeer
from .plots import plot_shares, require_matplotlib
from .results import Heading, Results, load, markdown, save, shares_of
from .row import Row

ROWS: dict[str, Row] = (
    rows.ROWS
    | rows_kreps.ROWS
    | rows_librdkafka.ROWS
    | rows_ceiling.ROWS
    | rows_clients.ROWS
    | rows_partitions.ROWS
    | rows_cluster.ROWS
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
TOUCHED = {"smoke": TOUCH_BYTES >> 4, "quick": TOUCH_BYTES >> 2, "full": TOUCH_BYTES}
# A turn of one target that takes longer hangs.
TURN_LIMIT_S = {"smoke": 120.0, "quick": 240.0, "full": 480.0}


def main() -> int:
    args = _parse_arguments()
    if args.plot:
        require_matplotlib()
    if args.from_json:
        headings, results = load(args.from_json)
        if args.rows or args.table:
            results = results.of_rows(_chosen_rows(args))
        _show(args, headings, results)
    else:
        _measure(args)
    return 0


def _measure(args: argparse.Namespace) -> None:
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
    cut_short: dict[str, str] = {}
    end = started + QUICK_BUDGET_S if is_limited else math.inf
    last = started + QUICK_END_S if is_limited else math.inf
    heading = _heading(args, peers, runs) | {"not here": missing or "nothing"}
    for slot, row in enumerate(chosen):
        playing = [peer for peer in peers if ROWS[row].is_for(peer)]
        now = time.monotonic()
        row_end = now + (end - now) / (len(chosen) - slot)
        turns = measure_row(
            row, playing, results, runs=runs, scale=args.scale, end=row_end, last=last
        )
        if turns < runs:
            cut_short[row] = f"{turns} of {runs} turns"
        print(f"{row}: {time.monotonic() - now:.0f} s", file=sys.stderr)
        heading["cut short"] = cut_short or "nothing"
        heading["took"] = f"{time.monotonic() - started:.0f} s"
        if args.json:
            save(args.json, heading, results)
    _show(args, [heading], results)


def _heading(args: argparse.Namespace, peers: list[Peer], runs: int) -> Heading:
    """What the numbers belong to."""
    return {
        "machine": machine(),
        "commit": _commit(),
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
        "--json", type=Path, metavar="FILE", help="write every sample there, after every row"
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


def _commit() -> str:
    """The commit that runs, with a `+` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _known(option: str, text: str, known: dict[str, Any]) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"{option} {unknown[0]}: there are {', '.join(known)}")
    return names


def measure_row(
    row: str,
    peers: list[Peer],
    results: Results,
    *,
    runs: int,
    scale: str,
    end: float,
    last: float = math.inf,
) -> int:
    """Starts every peer, takes turns until `end`, stops them; how many turns were taken.

    A peer that fails is left out of this row.  The first turn is taken after `end` too, but
    nothing is begun after `last`, and what runs then is given up.
    """
    if time.monotonic() >= last:
        print(f"{row}: left out, no time was left for it", file=sys.stderr)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    running: dict[str, RunningPeer] = {}
    limit_s = TURN_LIMIT_S[scale]
    try:
        for peer in peers:
            with _left_out(row, peer.name), _limit(row, peer.name, limit_s, last):
                running[peer.name] = _started(peer, folder / peer.name)
        turns = 0
        while turns < runs and (turns == 0 or time.monotonic() < end):
            turn, turns = turns, turns + 1
            for name in list(running):
                failed = True
                with _left_out(row, name), _limit(row, name, limit_s, last):
                    if turn and ROWS[row].ends_brokers:
                        running[name].stop()
                        running[name] = _started(running[name].peer, folder / f"{name}-{turn}")
                    touch_memory(TOUCHED[scale])
                    for figure, found in ROWS[row].measure(running[name], turn, scale).items():
                        value, unit, better = found
                        column = running[name].peer.column
                        results.add(row, figure, column, value, Samples(unit, better))
                        print(f"  {figure}  {name}  {value:.4g} {unit}", file=sys.stderr)
                    failed = False
                if failed:
                    running.pop(name).stop()
        return turns
    finally:
        for broker in running.values():
            broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _started(peer: Peer, data: Path) -> RunningPeer:
    data.mkdir()
    return peer.start(data)


@contextlib.contextmanager
def _left_out(row: str, name: str) -> Iterator[None]:
    """Says why where the block fails, and goes on behind it."""
    try:
        yield
    except PeerUnavailableError as error:
        print(f"{row}: {name} left out: {error}", file=sys.stderr)


def _limit(
    row: str, name: str, limit_s: float, last: float
) -> contextlib.AbstractContextManager[None]:
    return time_limit(min(limit_s, last - time.monotonic()), f"{row}, {name}")


if __name__ == "__main__":
    sys.exit(main())
