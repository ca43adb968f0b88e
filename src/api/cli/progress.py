"""Progress of work that takes a while: a line that is redrawn on a terminal, or lines now and then.

Silent where neither was asked for.
"""

import sys
import time
from typing import TextIO

REDRAW_S = 0.2


class Progress:
    """Counts records and bytes; redraws its line at most five times a second.

    With `line_every_s` it prints a line of its own so often instead, with the rate since the last.
    """

    def __init__(
        self,
        verb: str,
        *,
        total: int | None = None,
        enabled: bool,
        file: TextIO | None = None,
        line_every_s: float | None = None,
    ) -> None:
        self.verb = verb
        self.total = total
        self.enabled = enabled
        self.line_every_s = line_every_s
        self.count = 0
        self.size_bytes = 0
        self._file = file if file is not None else sys.stderr
        self._started = self._drawn = time.monotonic()
        self._drawn_count = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.enabled and self.count and self.line_every_s is None:
            self._draw()
            print(file=self._file)

    def advance(self, count: int, size_bytes: int = 0) -> None:
        self.count += count
        self.size_bytes += size_bytes
        if self.enabled:
            passed_s = time.monotonic() - self._drawn
            if self.line_every_s is None:
                if passed_s >= REDRAW_S:
                    self._draw()
            elif passed_s >= self.line_every_s:
                self._print_line(passed_s)

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

    def _print_line(self, passed_s: float) -> None:
        self._drawn += passed_s
        rate = (self.count - self._drawn_count) / passed_s
        self._drawn_count = self.count
        line = self.line(self._drawn - self._started)
        print(f"{line}, {rate:,.0f}/s in the last {passed_s:.1f} s", file=self._file, flush=True)
