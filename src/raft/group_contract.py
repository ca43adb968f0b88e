"""What a `RaftGroup` is given: the machine it replicates and the environment it lives in.

Importing this does not import PySyncObj.
"""

from collections.abc import Callable
from typing import Any, Protocol

from .wal_format import WalRecord


class GroupMachine(Protocol):
    """The state that a group agrees on; pure, and used on the raft thread only."""

    def apply(self, payload: bytes) -> object:
        """Carry out a committed command; the result is an int, bytes or None.

        A refusal is a result.  An exception changes nothing and counts as the result None.
        """
        ...

    def to_bytes(self) -> bytes:
        """The whole state."""
        ...

    def load(self, data: bytes) -> None:
        """Take over what `to_bytes` gave elsewhere or earlier."""
        ...

    @property
    def successor(self) -> tuple[int, ...] | None:
        """The voters of the next generation once this one is sealed, else None."""
        ...


class GroupEnvironment(Protocol):
    """Time, links, journal and listeners of a group: a runtime, or a simulation.

    A turn is: `receive`, `propose` and `peer_*` as they come, `tick` of whoever is dirty until
    nobody is, one sync of what was journaled, the calls of `after_sync`, and only then what was
    sent leaves.  News from `on_applied` and `on_role` must not be acted on before that sync.
    """

    def monotonic_s(self) -> float: ...

    def random_float(self) -> float: ...

    def send(self, broker_id: int, group_id: str, message: tuple[Any, ...]) -> bool:
        """Queue `message`, which begins with `group_id`, until this turn is synced."""
        ...

    def is_up(self, broker_id: int) -> bool:
        """Whether a link to the broker stands; asked when a group opens, told from then on."""
        ...

    def journal(self, record: WalRecord) -> None:
        """Add to this turn's batch."""
        ...

    def after_sync(self, call: Callable[[], None]) -> None: ...

    def mark_dirty(self, group: Any) -> None:
        """Tick this group once more before this turn's sync."""
        ...

    def set_awake(self, group: Any, is_awake: bool) -> None:
        """Whether the group wants its regular ticks (about every 50 ms)."""
        ...

    def on_applied(
        self, group: Any, entry_index: int, payload: bytes | None, result: object
    ) -> None:
        """An entry was applied; payload None: a snapshot took the place of all up to it."""
        ...

    def on_role(self, group: Any, is_controller: bool) -> None:
        """This copy leads and has applied its own first entry, or does so no longer."""
        ...
