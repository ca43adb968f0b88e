"""A partition's group without Raft: one state that all replicas of a test share."""

from collections.abc import Callable
from typing import Any

from headrace.raft.partition_state import Outcome, PartitionCommand, PartitionState


class SharedGroup:
    """Decides at once, unless held, and tells every replica.  A `DecidingGroup`."""

    may_lead = True

    def __init__(self, state: PartitionState, group_id: str = "partition-test-0") -> None:
        self.group_id = group_id
        self.state = state
        self.is_held = False
        self.replicas: list[Any] = []  # partitions, told of each state
        self.waiting: list[tuple[PartitionCommand, Callable[[Any], None]]] = []

    def propose(self, command: PartitionCommand, on_done: Callable[[Any], None]) -> None:
        self.waiting.append((command, on_done))
        if not self.is_held:
            self.decide_all()

    def decide_all(self) -> None:
        """Decide what waits, in order."""
        while self.waiting:
            command, on_done = self.waiting.pop(0)
            on_done(self.decide(command))

    def fail_all(self, error: BaseException) -> None:
        """Leave what waits undecided, as its proposer sees it."""
        waiting, self.waiting = self.waiting, []
        for _, on_done in waiting:
            on_done(error)

    def decide(self, command: PartitionCommand) -> Outcome:
        """Apply and tell, as the replica manager of every broker does."""
        self.state, outcome = self.state.apply(command)
        for replica in self.replicas:
            replica.state_changed()
        return outcome
