"""A progress line on a terminal for work that takes a while; silent everywhere else."""

import sys
import time
from typing import TextIO

REDRAW_S = 0.2


class Progress:
    """Counts records and bytes; redraws its line at most five times a second."""

    def __init__(
        self, verb: str, *, total: int | None = None, enabled: bool, file: TextIO | None = None
    ) -> None:
        self.verb = verb
        self.total = total
        self.enabled = enabled
        self.count = 0
        self.size_bytes = 0
        self._file = file if file is not None else sys.stderr
        self._started = self._drawn = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.enabled and self.count:
            self._draw()
            print(file=self._file)

    def advance(self, count: int, size_bytes: int = 0) -> None:
        self.count += count
        self.size_bytes += size_bytes
        if self.enabled and time.monotonic() - self._drawn >= REDRAW_S:
            self._draw()

    def line(self, elapsed_s: float) -> str:
        """The text of the progress line after `elapsed_s` seconds."""
        rate = self.count / elapsed_s if elapsed_s > 0 else 0.0
        share = ""
        if self.total:
            filled = min(20, 20 * self.count // self.total)
            share = f" [{'#' * filled}{'.' * (20 - filled)}] {100 * self.count // self.total} %"
        megabytes = self.size_bytes / 1e6
        return f"{self.verb} {self.count:,}{share}  {megabytes:,.1f} MB  {rate:,.0f}/s"

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        print(f"\r{self.line(self._drawn - self._started)}\x1b[K", end="", file=self._file)
        self._file.flush()
