"""Pictures of results; matplotlib is needed only here (the extra `plot`)."""

import sys
from pathlib import Path
from typing import Any

DPI = 110


def require_matplotlib() -> Any:
    """Matplotlib's Figure; ends the program in words where it is not installed."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("--plot needs matplotlib: pip install 'headrace[plot]'")
    # Letters as text: a third of the size, and the words can be searched.
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "headrace"
    return Figure


def save(picture: Any, path: Path) -> Path:
    """Writes PNG or SVG by the name's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def plot_percentiles(path: Path, title: str, by_peer: dict[str, dict[str, float]]) -> Path:
    """Milliseconds over percentiles, a line a peer; `p99.9` and the like, `max` left out."""
    picture = require_matplotlib()(figsize=(7, 4), layout="constrained")
    axes = picture.subplots()
    names: list[str] = []
    for peer, percentiles in by_peer.items():
        names = [name for name in percentiles if name.startswith("p")]
        axes.plot(names, [percentiles[name] for name in names], marker="o", label=peer)
    axes.set_yscale("log")
    axes.set_xlabel("percentile")
    axes.set_ylabel("ms")
    axes.set_title(title, fontsize=10)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    return save(picture, path)


def plot_shares(path: Path, title: str, shares: dict[str, dict[str, float]]) -> Path:
    """A line a figure, a dot a peer: how good it is, ours being 1, on a logarithmic scale."""
    figures = list(shares)
    picture = require_matplotlib()(figsize=(9, 1.5 + 0.22 * len(figures)), layout="constrained")
    axes = picture.subplots()
    peers = list(dict.fromkeys(peer for by_peer in shares.values() for peer in by_peer))
    for peer in peers:
        slots = [slot for slot, figure in enumerate(figures) if peer in shares[figure]]
        values = [shares[figures[slot]][peer] for slot in slots]
        axes.plot(values, slots, "o", label=peer, markersize=5)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(figures)), figures, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("how good a peer is, headrace = 1; left of the line it is worse")
    axes.set_title(title, fontsize=10)
    axes.grid(visible=True, axis="both", alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
    return save(picture, path)
