"""What can go wrong with a store beyond what its logs say."""

from pathlib import Path
from typing import NoReturn

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


class ArgumentError(HeadraceError):
    """An argument that cannot be used; nothing was done.  `name` is its name, `value` what it was.

    Raised as one of the two below, which are a ValueError and a TypeError as well.
    """

    def __init__(self, name: str, value: object, wanted: str) -> None:
        shown = repr(value)
        super().__init__(f"{name}={shown if len(shown) < 80 else shown[:77] + '...'}: {wanted}")
        self.name = name
        self.value = value
        self.wanted = wanted


class InvalidArgumentError(ArgumentError, ValueError):
    """Of the right type, but out of bounds, or contradicting another one."""


class ArgumentTypeError(ArgumentError, TypeError):
    """Of a type that it cannot have."""


class LogFolderNotFoundError(HeadraceError, FileNotFoundError):
    """A folder to be read that is not there: its writer makes it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is no folder; its writer has to make it first")
        self.path = path


class NotAFolderError(HeadraceError, NotADirectoryError):
    """A path that is a file, and so cannot hold topics."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is a file; choose a folder, or a name that is not taken")
        self.path = path


class UnsupportedOperationError(HeadraceError):
    """What Kafka's producers have and an append in this process has not; `instead` says what does.

    `operation` is "transactions" or "idempotence".
    """

    def __init__(self, operation: str, instead: str) -> None:
        super().__init__(f"a store in this process has no {operation}: {instead}")
        self.operation = operation
        self.instead = instead


def refuse_transactions() -> NoReturn:
    """Raise, and say what comes near them."""
    raise UnsupportedOperationError(
        "transactions",
        "the records of one append_many, append_array or append_arrow call are stored all or none "
        "in their partition; for more than one partition, or with a consumer's offsets, serve the "
        "folder with headrace.Broker or `headrace up` and use a client's transactional producer "
        "where the broker offers one",
    )


def refuse_idempotence() -> NoReturn:
    """Raise, and say why an append needs none."""
    raise UnsupportedOperationError(
        "idempotence",
        "nothing here sends an append twice: it returns the offset that the records got, or raises "
        "and none of them stays. Whether an append that a crash cut short is there, tells "
        "log_end_offset; a client's idempotent producer works against headrace.Broker or "
        "`headrace up` on the same folder",
    )
