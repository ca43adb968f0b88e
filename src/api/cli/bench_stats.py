"""Latencies of a benchmark: percentiles, a table, a plot in text and as a picture."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .common import EXIT_USAGE, CliError

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0)
BAR_COLUMNS = 40
SHORTEST_MS = 0.0001
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
TEXT_SUFFIX = ".txt"


@dataclass(slots=True)
class Latencies:
    """Seconds from when each record was due to when it was acknowledged or seen."""

    samples_s: list[float] = field(default_factory=list)

    def add(self, latency_s: float) -> None:
        self.samples_s.append(latency_s)

    def percentiles_ms(self) -> dict[str, float]:
        """p50 to p99.99 and the maximum in milliseconds; empty without samples."""
        ordered = sorted(self.samples_s)
        if not ordered:
            return {}
        found = {}
        for percent in PERCENTILES:
            slot = min(len(ordered) - 1, int(len(ordered) * percent / 100))
            name = "max" if percent == 100 else f"p{percent:g}"
            found[name] = round(1000 * ordered[slot], 4)
        return found

    def text_plot(self) -> str:
        """A bar a percentile on a logarithmic scale from the fastest record to the slowest."""
        if not self.samples_s:
            return ""
        low_ms = max(1000 * min(self.samples_s), SHORTEST_MS)
        percentiles = {"min": round(low_ms, 4)} | self.percentiles_ms()
        span = math.log(max(percentiles["max"] / low_ms, 1.0)) or 1.0
        lines = []
        for name, ms in percentiles.items():
            share = math.log(max(ms / low_ms, 1.0)) / span
            bar = "#" * (1 + round(share * (BAR_COLUMNS - 1)))
            lines.append(f"{name:>7}  {bar:<{BAR_COLUMNS}}  {ms:g} ms")
        return "\n".join(lines)


def check_plot(path: Path) -> None:
    """That a plot can be saved there; CliError before a load is run for nothing."""
    if not path.parent.is_dir():
        raise CliError(f"--plot {path}: there is no folder {path.parent}", EXIT_USAGE)
    if path.suffix == TEXT_SUFFIX:
        return
    require_matplotlib()
    if path.suffix not in PICTURE_SUFFIXES:
        known = ", ".join((*PICTURE_SUFFIXES, TEXT_SUFFIX))
        raise CliError(f"--plot {path}: its name must end in one of {known}", EXIT_USAGE)


def require_matplotlib() -> Any:
    """Matplotlib's Figure; CliError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise CliError("--plot needs matplotlib: pip install 'headrace[plot]'") from None
    return Figure


def save_plot(path: Path, title: str, latencies: Latencies) -> None:
    """The percentile curve as a picture, both axes logarithmic; in text for a name in .txt."""
    if path.suffix == TEXT_SUFFIX:
        path.write_text(f"{title}\n{latencies.text_plot()}\n")
        return
    ordered = sorted(latencies.samples_s)
    count = len(ordered)
    figure = require_matplotlib()(figsize=(8, 4.5))
    axes = figure.subplots()
    nines = [count / (count - slot) for slot in range(count)]
    axes.plot(nines, [1000 * seconds for seconds in ordered])
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [value for value in (1, 2, 10, 100, 1000, 10_000) if value <= count]
    axes.set_xticks(ticks, [f"{100 - 100 / value:g}" for value in ticks])
    axes.set_xlabel("percentile")
    axes.set_ylabel("latency [ms]")
    axes.set_title(title)
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(path, dpi=120)
