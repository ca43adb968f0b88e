"""What becomes dearer as work grows?  One curve a question, as tables and, if asked for, as PNG.

    python -m benchmarks.curves                              # every curve, headrace
    python -m benchmarks.curves --curves fan-out,partitions --peers headrace,kafka
    python -m benchmarks.curves --smoke --plot build/plots   # PNGs need matplotlib

A flat line is the answer wanted.  Every curve gets a broker of its own; CPU is the broker's.  A run
that is ended early, or a broker that fails, costs the points that were not there yet.
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from headrace.api.server.serve import raise_descriptor_limit

from .curve_points import CURVES, Curve, Points
from .harness import (
    command_shown,
    commit,
    keep_json,
    machine,
    number,
    stop_on_sigterm,
)
from .peers.brokers import PEERS
from .peers.install import PeerUnavailableError
from .peers.peer import Peer, RunningPeer
from .plots import require_matplotlib, save
from .resident_memory import touch_memory
from .turns import Turns

BAR_COLUMNS = 30
IN_MEMORY = Path("/dev/shm")
# curve -> peer -> work -> figure -> value
Results = dict[str, dict[str, dict[int, Points]]]


def main() -> int:
    args = _parse_arguments()
    stop_on_sigterm()
    if args.plot:
        require_matplotlib()
    raise_descriptor_limit()
    peers = _prepared(args.peers.split(","))
    results: Results = {name: {} for name in args.curves.split(",")}
    turns = Turns(1, args.scale)
    heading = {
        "machine": machine(),
        "commit": commit(),
        "versions": {name: peer.version for name, peer in peers.items()},
        "sizes": args.scale,
        "command": command_shown("curves"),
        "fsync": "none (page cache) for every broker",
        "left out": turns.left_out,
    }

    def keep() -> None:
        if args.json:
            keep_json(args.json, heading | {"curves": results})

    turns.keep = keep
    code = 0
    try:
        for curve_name, by_peer in results.items():
            for name, peer in peers.items():
                if _can_play(CURVES[curve_name], name):
                    _measure(curve_name, peer, by_peer.setdefault(name, {}), turns)
    except (KeyboardInterrupt, SystemExit) as error:
        heading["ended early"] = repr(error)
        code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 130
    keep()
    print("\n".join(f"{key}: {value}  " for key, value in heading.items()))
    for curve_name, by_peer in results.items():
        measured = {name: points for name, points in by_peer.items() if points}
        print(markdown(curve_name, measured))
        if args.plot and measured:
            print(f"plot: {_plot(args.plot, args.format, curve_name, measured)}")
    return code


def _prepared(names: list[str]) -> dict[str, Peer]:
    peers = {}
    for name in names:
        peer = PEERS[name]()
        try:
            peer.prepare()
            peers[name] = peer
        except PeerUnavailableError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    return peers


def _can_play(curve: Curve, name: str) -> bool:
    """Without a broker there is only our own log; kfake takes no settings."""
    return (
        name == "headrace"
        if curve.on_folder is not None
        else not (curve.settings and name == "kfake")
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", default=",".join(CURVES), help="default: %(default)s")
    parser.add_argument(
        "--peers", default="headrace", help=f"of {', '.join(PEERS)}; default: %(default)s"
    )
    parser.add_argument(
        "--smoke",
        action="store_const",
        const="smoke",
        dest="scale",
        default="full",
        help="tiny sizes: shows that it works",
    )
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="a picture a curve")
    parser.add_argument("--format", choices=("png", "svg"), default="png", help="of pictures")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    for option, known in (("curves", CURVES), ("peers", PEERS)):
        for name in getattr(args, option).split(","):
            if name not in known:
                parser.error(f"--{option} {name}: there are {', '.join(known)}")
    return args


def _measure(curve_name: str, peer: Peer, points: dict[int, Points], turns: Turns) -> None:
    """Every point of a curve, from little work to much, each kept as soon as it is there.

    Where one fails or takes too long, the curve ends at the point before.
    """
    curve, scale = CURVES[curve_name], turns.scale
    in_memory = IN_MEMORY if curve.on_folder is not None and IN_MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="headrace-curve-", dir=in_memory))
    running: RunningPeer | None = None
    try:
        if curve.on_broker is not None:
            (folder / "data").mkdir()
            with turns.limited(curve_name, peer.name):
                running = replace(peer, settings=dict(curve.settings)).start(folder / "data")
            if running is None:
                return
        for work in curve.works[scale]:
            with turns.limited(curve_name, f"{peer.name} at {work:,}"):
                points[work] = _point(curve, running, folder, work, scale)
                _tell(curve, peer.name, work, points[work])
            if work not in points:
                return
            turns.keep()
    finally:
        if running is not None:
            running.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _point(
    curve: Curve, running: RunningPeer | None, folder: Path, work: int, scale: str
) -> Points:
    if curve.on_broker is not None and running is not None:
        touch_memory(1 << (24 if scale == "smoke" else 30))
        return curve.on_broker(running, work, scale)
    assert curve.on_folder is not None, curve
    return curve.on_folder(folder / str(work), work, scale)


def _tell(curve: Curve, peer_name: str, work: int, points: Points) -> None:
    said = ", ".join(f"{name} {value:.4g}" for name, value in points.items())
    print(f"  {peer_name}: {work:,} {curve.axis}: {said}", file=sys.stderr)


def markdown(curve_name: str, by_peer: dict[str, dict[int, Points]]) -> str:
    """A table a peer; the bars show the first figure against its largest value."""
    curve = CURVES[curve_name]
    lines = ["", f"### {curve_name}: {curve.question}"]
    for peer_name, points in by_peer.items():
        figures = list(next(iter(points.values())))
        lines += ["", f"| {peer_name}: {curve.axis} | {' | '.join(figures)} | {figures[0]} |"]
        lines.append(f"|{'---:|' * (len(figures) + 1)}:---|")
        largest = max(point[figures[0]] for point in points.values()) or 1.0
        for work, point in points.items():
            cells = " | ".join(number(point[name]) for name in figures)
            bar = "#" * round(BAR_COLUMNS * point[figures[0]] / largest)
            lines.append(f"| {work:,} | {cells} | `{bar}` |")
    return "\n".join(lines)


def _plot(
    folder: Path, suffix: str, curve_name: str, by_peer: dict[str, dict[int, Points]]
) -> Path:
    """One picture a curve, a panel a unit, a line a figure and peer; the work is logarithmic."""
    curve = CURVES[curve_name]
    figures = list(next(iter(next(iter(by_peer.values())).values()))) if by_peer else []
    by_unit: dict[str, list[str]] = {}
    for figure in figures:
        by_unit.setdefault(figure.partition("[")[2].rstrip("]"), []).append(figure)
    picture = require_matplotlib()(figsize=(4.5 * max(1, len(by_unit)), 3.4), layout="constrained")
    panels = picture.subplots(1, max(1, len(by_unit)), squeeze=False)[0]
    for panel, (unit, shown) in zip(panels, by_unit.items(), strict=False):
        for peer_name, points in by_peer.items():
            for figure in shown:
                values = [point[figure] for point in points.values()]
                label = f"{peer_name}, {figure.partition(' [')[0]}"
                panel.plot(list(points), values, marker="o", label=label)
        panel.set_xscale("log")
        panel.set_ylim(bottom=0)
        panel.set_xlabel(curve.axis)
        panel.set_ylabel(unit)
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize=8)
    picture.suptitle(curve.question, fontsize=10)
    return save(picture, folder / f"{curve_name}.{suffix}")


if __name__ == "__main__":
    sys.exit(main())
