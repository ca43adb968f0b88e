"""What a simulation raises where one of its named invariants does not hold."""


class InvariantBrokenError(AssertionError):
    """One of the named invariants does not hold."""

    def __init__(self, name: str, facts: str) -> None:
        super().__init__(f"{name}: {facts}")
        self.name = name
