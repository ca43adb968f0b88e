"""Leaders that were cut off, and have to prove that they still lead before they serve again.

While a majority of the voters was gone they may have elected another leader, of whom this broker
hears a moment after its links are back.  What proves that nobody was: the group agrees to the isr
that it has, at the very partition_epoch that is known here.  That takes a majority which answers
in its present term, wherever the group's controller is by now.  Who is replaced keeps the doubt
until it leads again: what it hears then may be an election of the past.  Loop thread only.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from .partition_group import PartitionGroup
from .partition_state import AlterIsr, Outcome
from .runtime_contract import Schedule

PROVE_AGAIN_MS = 50


class LeaderDoubts:
    """See the module.  `on_proved(base_id)`: that group's leader, here, may serve again."""

    def __init__(self, on_proved: Callable[[str], None]) -> None:
        self.schedule: Schedule | None = None
        self._on_proved = on_proved
        self._asked: dict[PartitionGroup, AlterIsr | None] = {}  # with what is under way

    def begin(self, group: PartitionGroup) -> None:
        """Its leader, here, was cut off."""
        self._asked[group] = None

    def end(self, group: PartitionGroup) -> None:
        """It is closed here, or decided here alone."""
        self._asked.pop(group, None)

    def renew(self, group: PartitionGroup, *, ends: bool) -> None:
        """Another generation begins, where what was asked in the last one is not answered."""
        if ends:
            self.end(group)
        elif group in self._asked:
            self._asked[group] = None

    def must_prove(self, group: PartitionGroup) -> bool:
        """Whether it must, and does not know the outcome yet; begins to, where it did not."""
        if group not in self._asked:
            return False
        if self._asked[group] is None:
            state = group.state
            asked = AlterIsr(state.partition_epoch, state.leader_epoch, state.isr)
            self._asked[group] = asked
            group.propose(asked, partial(self._answered, group, asked))
        return True

    def _answered(self, group: PartitionGroup, asked: AlterIsr, outcome: Any) -> None:
        if self._asked.get(group) is not asked:
            return
        if outcome is Outcome.APPLIED:
            del self._asked[group]
            self._on_proved(group.base_id)
            return
        # Undecided; or the state is another one, of which this broker is about to hear.
        assert self.schedule is not None
        self.schedule(PROVE_AGAIN_MS, partial(self._try_again, group, asked))

    def _try_again(self, group: PartitionGroup, asked: AlterIsr) -> None:
        if self._asked.get(group) is asked:
            self._asked[group] = None
            self._on_proved(group.base_id)
