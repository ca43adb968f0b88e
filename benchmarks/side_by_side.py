"""The same load against headrace and real brokers in one run, as a table of medians and ratios.

    python -m benchmarks.side_by_side --quick
    python -m benchmarks.side_by_side --runs 5 --peers headrace,kafka --rows produce,consume

Targets take turns within each row, so that a noisy minute of the machine meets all of them.  A
broker is started once a row on an empty folder and gets a warm-up before it is measured.  CPU is
user plus system time of the whole broker process.  Nothing is synced to disk by any of them.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import rows
from .harness import Samples, machine, touch_memory
from .peers.brokers import PEERS
from .peers.peer import PeerUnavailableError, RunningPeer

Table = dict[str, dict[str, Samples]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, three runs")
    parser.add_argument("--runs", type=int, help="how often each figure is taken (3; full 5)")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--rows", default=",".join(rows.ROWS), help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    args = parser.parse_args()
    names = _known("--peers", args.peers, PEERS)
    chosen = _known("--rows", args.rows, rows.ROWS)
    runs = args.runs or (3 if args.quick else 5)
    peers = {}
    for name in names:
        peer = PEERS[name]()
        try:
            peer.prepare()
            peers[name] = peer
        except PeerUnavailableError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    table: Table = {}
    for row in chosen:
        _measure_row(row, peers, table, runs=runs, is_quick=args.quick)
    heading = {
        "machine": machine(),
        "versions": {name: peer.version for name, peer in peers.items()},
        "runs": runs,
        "command": "python -m benchmarks.side_by_side " + " ".join(sys.argv[1:]),
        "fsync": "none (page cache) for every broker",
        "memory": "1 GiB touched before every figure",
    }
    print(markdown(heading, table, list(peers)))
    if args.json:
        samples = {
            row: {name: figure.values for name, figure in by_peer.items()}
            for row, by_peer in table.items()
        }
        args.json.write_text(json.dumps(heading | {"samples": samples}, indent=2))
    return 0


def _known(option: str, text: str, known: dict[str, Any]) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"{option} {unknown[0]}: there are {', '.join(known)}")
    return names


def _measure_row(
    row: str, peers: dict[str, Any], table: Table, *, runs: int, is_quick: bool
) -> None:
    """Starts every peer, takes turns, stops them; a peer that fails is left out of this row."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    running: dict[str, RunningPeer] = {}
    try:
        for name, peer in peers.items():
            data = folder / name
            data.mkdir()
            running[name] = peer.start(data)
        for turn in range(runs):
            for name in list(running):
                touch_memory()
                try:
                    figures = rows.ROWS[row](running[name], turn, is_quick)
                except PeerUnavailableError as error:
                    print(f"{row}: {name} left out: {error}", file=sys.stderr)
                    running.pop(name).stop()
                    continue
                for figure, (value, unit, better) in figures.items():
                    by_peer = table.setdefault(figure, {})
                    by_peer.setdefault(name, Samples(unit, better)).values.append(value)
                    print(f"  {figure}  {name}  {value:.4g} {unit}", file=sys.stderr)
    finally:
        for broker in running.values():
            broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def markdown(heading: dict[str, Any], table: Table, names: list[str]) -> str:
    """The table as text: a line a figure, medians with their spread, ratios to the first peer."""
    lines = [f"{name}: {value}  " for name, value in heading.items()]
    ratio_titles = [f"{names[0]} / {name}" for name in names[1:]]
    titles = ["figure", "unit", *names, *ratio_titles]
    lines += ["", f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for figure, by_peer in table.items():
        sample = next(iter(by_peer.values()))
        cells = [by_peer[name].text() if name in by_peer else "-" for name in names]
        ratios = []
        for name in names[1:]:
            has_both = names[0] in by_peer and name in by_peer and by_peer[name].median
            ratio = by_peer[names[0]].median / by_peer[name].median if has_both else None
            ratios.append("-" if ratio is None else f"{ratio:.2f}x")
        unit = f"{sample.unit}, {sample.better} is better"
        lines.append(f"| {' | '.join([figure, unit, *cells, *ratios])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
