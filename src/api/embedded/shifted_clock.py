"""`ShiftedClock`: the machine's time, moved on by a test."""

from ...core.clock import SystemClock


class ShiftedClock(SystemClock):
    """A clock that a test may let jump; it is never moved back."""

    def __init__(self) -> None:
        self._shift_ms = 0

    def advance(self, milliseconds: int) -> None:
        """Let both the wall clock and the monotonic one jump ahead."""
        if milliseconds < 0:
            raise ValueError("time does not go back")
        self._shift_ms += milliseconds

    def now_ms(self) -> int:
        return super().now_ms() + self._shift_ms

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self._shift_ms
