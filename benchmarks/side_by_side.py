"""The same load against headrace and real brokers in one run, as a table of medians and ratios.

    python -m benchmarks.side_by_side --quick
    python -m benchmarks.side_by_side --quick --table kreps
    python -m benchmarks.side_by_side --runs 5 --peers headrace,kafka --rows produce,consume

Targets take turns within each row, so that a noisy minute of the machine meets all of them.  A
broker is started once a row on an empty folder and gets a warm-up before it is measured.  CPU is
user plus system time of all processes of the broker or cluster.  Nothing is synced to disk by any
of them.  Peers are installed, fetched or built as needed; what cannot be had is said and left out.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
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
from .harness import TOUCH_BYTES, Samples, machine, number, stop_on_sigterm, touch_memory
from .peers.brokers import PEERS
from .peers.install import ROOT, PeerUnavailableError, forbid_installing
from .peers.peer import Peer, RunningPeer
from .plots import plot_shares, require_matplotlib
from .published import FIGURES as PUBLISHED
from .row import Row

Table = dict[str, dict[str, Samples]]

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
RUNS = {"smoke": 1, "quick": 3, "full": 5}
TOUCHED = {"smoke": TOUCH_BYTES >> 4, "quick": TOUCH_BYTES >> 2, "full": TOUCH_BYTES}


def main() -> int:
    args = _parse_arguments()
    stop_on_sigterm()
    started = time.monotonic()
    raise_descriptor_limit()
    if args.no_install:
        forbid_installing()
    if args.plot:
        require_matplotlib()
    names = _known("--peers", args.peers, PEERS)
    chosen = _chosen_rows(args)
    runs = args.runs or RUNS[args.scale]
    peers, missing = _prepared(names, [ROWS[row] for row in chosen])
    table: Table = {}
    cut_short: dict[str, str] = {}
    end = started + QUICK_BUDGET_S if args.scale == "quick" and not args.runs else math.inf
    for slot, row in enumerate(chosen):
        playing = [peer for peer in peers if ROWS[row].is_for(peer)]
        now = time.monotonic()
        row_end = now + (end - now) / (len(chosen) - slot)
        turns = measure_row(row, playing, table, runs=runs, scale=args.scale, end=row_end)
        if turns < runs:
            cut_short[row] = f"{turns} of {runs} turns"
        print(f"{row}: {time.monotonic() - now:.0f} s", file=sys.stderr)
    heading = {
        "machine": machine(),
        "commit": _commit(),
        "versions": {peer.name: peer.version for peer in peers},
        "runs": runs,
        "sizes": args.scale,
        "command": "python -m benchmarks.side_by_side " + " ".join(sys.argv[1:]),
        "fsync": "none (page cache) for every broker",
        "memory": f"{TOUCHED[args.scale] >> 20} MiB touched before every figure",
        "not here": missing or "nothing",
        "cut short": cut_short or "nothing",
        "took": f"{time.monotonic() - started:.0f} s",
    }
    print(markdown(heading, table, list(dict.fromkeys(peer.column for peer in peers))))
    if args.plot:
        title = f"{heading['commit']}, {heading['command']}"
        print(f"\nplot: {plot_shares(args.plot, title, shares_of(table))}")
    if args.json:
        samples = {
            row: {name: figure.values for name, figure in by_peer.items()}
            for row, by_peer in table.items()
        }
        content = heading | {"samples": samples, "published": _published(table)}
        args.json.write_text(json.dumps(content, indent=2))
    return 0


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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
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
    row: str, peers: list[Peer], table: Table, *, runs: int, scale: str, end: float
) -> int:
    """Starts every peer, takes turns until `end`, stops them; how many turns were taken.

    A peer that fails is left out of this row.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    running: dict[str, RunningPeer] = {}
    try:
        for peer in peers:
            data = folder / peer.name
            data.mkdir()
            try:
                running[peer.name] = peer.start(data)
            except PeerUnavailableError as error:
                print(f"{row}: {peer.name} left out: {error}", file=sys.stderr)
        turns = 0
        while turns < runs and (turns == 0 or time.monotonic() < end):
            turn, turns = turns, turns + 1
            for name in list(running):
                touch_memory(TOUCHED[scale])
                try:
                    figures = ROWS[row].measure(running[name], turn, scale)
                except PeerUnavailableError as error:
                    print(f"{row}: {name} left out: {error}", file=sys.stderr)
                    running.pop(name).stop()
                    continue
                column = running[name].peer.column
                for figure, (value, unit, better) in figures.items():
                    by_peer = table.setdefault(figure, {})
                    by_peer.setdefault(column, Samples(unit, better)).values.append(value)
                    print(f"  {figure}  {name}  {value:.4g} {unit}", file=sys.stderr)
        return turns
    finally:
        for broker in running.values():
            broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def shares_of(table: Table) -> dict[str, dict[str, float]]:
    """figure -> peer -> how good its median is against headrace's: 2 is twice as good."""
    shares: dict[str, dict[str, float]] = {}
    for figure, by_peer in table.items():
        ours = by_peer["headrace"].median if "headrace" in by_peer else 0.0
        for name, sample in by_peer.items():
            if name != "headrace" and ours > 0 and sample.median > 0:
                share = sample.median / ours if sample.better == "more" else ours / sample.median
                shares.setdefault(figure, {})[name] = share
    return shares


def _published(table: Table) -> dict[str, Any]:
    """What others published of the same name."""
    return {
        name: {"value": PUBLISHED[name][0], "unit": PUBLISHED[name][1], "of": PUBLISHED[name][2]}
        for name in table
        if name in PUBLISHED
    }


def markdown(heading: dict[str, Any], table: Table, names: list[str]) -> str:
    """The table as text: a line a figure, medians with their spread, ratios to the first peer."""
    lines = [f"{name}: {value}  " for name, value in heading.items()]
    published = _published(table)
    ratio_titles = [f"{names[0]} / {name}" for name in names[1:]]
    titles = ["figure", "unit", *names, *ratio_titles]
    titles += ["published, another machine"] * bool(published)
    lines += ["", f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for figure, by_peer in table.items():
        sample = next(iter(by_peer.values()))
        cells = [by_peer[name].text() if name in by_peer else "-" for name in names]
        ratios = []
        for name in names[1:]:
            has_both = names[0] in by_peer and name in by_peer and by_peer[name].median
            ratio = by_peer[names[0]].median / by_peer[name].median if has_both else None
            ratios.append("-" if ratio is None else f"{ratio:.2f}x")
        if published:
            known = published.get(figure)
            ratios.append(number(known["value"]) if known else "-")
        unit = f"{sample.unit}, {sample.better} is better"
        lines.append(f"| {' | '.join([figure, unit, *cells, *ratios])} |")
    if published:
        sources = sorted({known["of"] for known in published.values()})
        lines += ["", f"Published figures: {'; '.join(sources)}. Another machine: no ratio."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
