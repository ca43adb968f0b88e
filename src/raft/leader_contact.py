"""Which brokers a leader is in touch with, and whether it is cut off from those that decide.

A leader from which a majority of its voters is gone cannot know whether they have elected another
one.  It answers that it does not lead, so that clients look for the other at once; nothing that was
acknowledged rests on it, since a leader without them can neither commit nor shrink its isr.  Where
it alone is in the isr, and nobody in the elr, nobody else can be elected, and where the voters that
are gone are no majority of their own, as with two voters, neither: then it leads on.
"""

from collections.abc import Callable, Collection

from .partition_state import PartitionState
from .runtime_contract import Schedule

GRACE_MS = 200
"""A link that breaks is dialed again at once: so long, nobody is taken for gone."""


def is_cut_off(state: PartitionState, reachable: Collection[int]) -> bool:
    """Whether the leader, which reaches only these, may have been replaced by the others."""
    if len(state.holders) < 2:
        return False
    gone = sum(1 for broker_id in state.voters if broker_id not in reachable)
    return gone > len(state.voters) // 2


class LeaderContact:
    """The brokers that are reachable, or were so a moment ago; `on_changed` when that changes."""

    def __init__(self, broker_id: int, on_changed: Callable[[], None]) -> None:
        self._broker_id = broker_id
        self._on_changed = on_changed
        self._live: frozenset[int] = frozenset()
        self.reachable: frozenset[int] = frozenset((broker_id,))

    def peers_changed(self, live: Collection[int], schedule: Schedule) -> None:
        """Who is up now: those who came count at once, those who went a little later."""
        self._live = frozenset((*live, self._broker_id))
        if not self._live <= self.reachable:
            self.reachable |= self._live
            self._on_changed()
        if self._live != self.reachable:
            schedule(GRACE_MS, self._lose)

    def overslept(self) -> None:
        """This broker did not run for so long that it may have been replaced: it was cut off."""
        self.reachable = frozenset((self._broker_id,))
        self._on_changed()
        self.reachable = self._live
        self._on_changed()

    def _lose(self) -> None:
        if self.reachable != self._live:
            self.reachable = self._live
            self._on_changed()
