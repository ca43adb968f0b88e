"""What can go wrong with a store beyond what its logs say."""

from pathlib import Path

from ...core.errors import HeadraceError


class ReadOnlyStoreError(HeadraceError):
    """A change was asked of a store that was opened with mode="r"."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f'{path} was opened with mode="r", so {what} is not possible here; the process that '
            'opened it with mode="w", or the broker that serves it, can'
        )
        self.path = path
        self.what = what
