"""A control beside the CPU of a load: what plain writes cost right before and right behind it.

A virtual machine whose host took its free memory back pays for each new page again, and whoever
writes pays with it: not a broker's doing, and nothing in the table would tell.  So a file is
written with nothing but pwrite, from a buffer that is in the cache, and emptied again.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .harness import run_loads
from .peers.peer import RunningPeer
from .resident_memory import touch_for
from .results import AROUND
from .row import Figure, Figures

MOST_BYTES = 128 << 20
STEP_BYTES = 1 << 20


@dataclass(frozen=True)
class ControlledLoad:
    """What the load programs said, the broker's CPU seconds, and the dearer of two controls."""

    results: list[dict[str, Any]]
    cpu_s: float
    plain_cpu_s_per_gb: float | None  # None where nothing was to be written

    @property
    def moved_gb(self) -> float:
        return float(sum(result["bytes"] for result in self.results)) / 1e9

    @property
    def messages_per_s(self) -> Figure:
        return sum(each["messages"] for each in self.results) / self.seconds, "msg/s", "more"

    @property
    def gb_per_s(self) -> Figure:
        return self.moved_gb / self.seconds, "GB/s", "more"

    @property
    def seconds(self) -> float:
        return float(max(result["seconds"] for result in self.results))

    def costs(self, title: str) -> Figures:
        """What it cost the broker, and what plain writes cost around it."""
        figures: Figures = {title: (self.cpu_s / self.moved_gb, "CPU-s/GB", "less")}
        if self.plain_cpu_s_per_gb is not None:
            figures[title + AROUND] = (self.plain_cpu_s_per_gb, "CPU-s/GB", "less")
        return figures


def run_controlled(
    peer: RunningPeer, commands: list[list[object]], *, written_bytes: float
) -> ControlledLoad:
    """Runs loads that let the broker write so much, with its memory touched before."""
    path = peer.data.parent / "plain-writes"
    size_bytes = min(int(written_bytes), MOST_BYTES)
    touch_for(written_bytes)
    plain = plain_write_cost(path, size_bytes) if size_bytes else None
    before_s = peer.cpu_s()
    results = run_loads(commands)
    cpu_s = peer.cpu_s() - before_s
    if plain is not None:
        plain = max(plain, plain_write_cost(path, size_bytes))
    return ControlledLoad(results, cpu_s, plain)


def plain_write_cost(path: Path, size_bytes: int) -> float:
    """CPU seconds a GB of this thread, for at least one step; the file is there and empty then."""
    step = bytes(STEP_BYTES)
    count = max(1, size_bytes // STEP_BYTES)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        started_s = time.thread_time()
        for number in range(count):
            os.pwrite(descriptor, step, number * STEP_BYTES)
        taken_s = time.thread_time() - started_s
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
    return taken_s / (count * STEP_BYTES / 1e9)
