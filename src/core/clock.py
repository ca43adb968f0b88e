"""The only source of time and chance; everything else is handed a `Clock` and can be simulated."""

import os
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Time and chance, as one injectable value."""

    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch, as Kafka stamps records."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds of a clock that never goes back; for time-outs only."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes: cluster ids, topic ids, member ids."""
        ...

    def random_float(self) -> float:
        """A number in [0, 1), for jitter."""
        ...


class SystemClock:
    """The machine's own clocks and entropy."""

    # `now_ms` in nanoseconds, for callers in C: a subclass that shifts the time is asked for ms.
    time_ns = staticmethod(time.time_ns)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def random_float(self) -> float:
        return random.random()
