"""A clock that moves only when a test moves it, and whose chance is seeded."""

import random


class ManualClock:
    """A `headrace.core.clock.Clock` under the test's control; times in milliseconds."""

    def __init__(self, *, now_ms: int = 1_700_000_000_000, seed: int = 0) -> None:
        self.wall_ms = now_ms
        self.steady_ms = 0
        self._random = random.Random(seed)

    def advance(self, milliseconds: int) -> None:
        self.wall_ms += milliseconds
        self.steady_ms += milliseconds

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_ms(self) -> int:
        return self.steady_ms

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def random_float(self) -> float:
        return self._random.random()
