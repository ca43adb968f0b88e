"""Proposals of one group that wait for their outcome; each is told exactly once.

carried out                          (entry_index, result)
certainly not, and never will be     NotControllerError: ask the controller again
the group's generation has ended     GroupSealedError: ask the next generation
nobody knows by the deadline         UnknownOutcomeError: read the state first
"""

from collections.abc import Callable

OnDone = Callable[[object], None]


class Proposal:
    """One proposal; `finish` tells its proposer after this turn's sync."""

    __slots__ = ("_after_sync", "_on_done", "deadline_s")

    def __init__(
        self,
        on_done: OnDone,
        deadline_s: float,
        after_sync: Callable[[Callable[[], None]], None],
    ) -> None:
        self._on_done: OnDone | None = on_done
        self._after_sync = after_sync
        self.deadline_s = deadline_s

    @property
    def is_done(self) -> bool:
        return self._on_done is None

    def finish(self, outcome: object) -> None:
        """The first outcome counts."""
        on_done = self._on_done
        if on_done is not None:
            self._on_done = None
            self._after_sync(lambda: on_done(outcome))


class Proposals:
    """Those under way, in the order in which they came."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: list[Proposal] = []

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, proposal: Proposal) -> None:
        self._pending.append(proposal)

    def drop_done(self) -> None:
        self._pending = [proposal for proposal in self._pending if not proposal.is_done]

    def take_overdue(self, now_s: float) -> list[Proposal]:
        """Those whose deadline has passed; they are under way no longer."""
        overdue = [proposal for proposal in self._pending if proposal.deadline_s <= now_s]
        if overdue:
            self._pending = [p for p in self._pending if p.deadline_s > now_s]
        return overdue

    def take_all(self) -> list[Proposal]:
        taken, self._pending = self._pending, []
        return taken
