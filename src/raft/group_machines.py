"""The state machines of replicated groups, as the Raft thread keeps them.  Pure.

The loop thread has its own copy of each state, made of the entries that are posted to it; these
here are what snapshots and seeds are taken of.  A group whose state passed its own generation is
sealed: the voters named there begin the next one.
"""

from .cluster_commands import decode_command
from .cluster_state import ClusterState
from .errors import ClusterStateError
from .partition_state import PartitionState, decode_partition_command

APPLIED = 0
REFUSED = 1


def generation_group_id(base_id: str, generation: int) -> str:
    """The id of one generation of a group: nothing of an older one can reach a newer one."""
    return f"{base_id}@{generation}" if generation else base_id


def split_group_id(group_id: str) -> tuple[str, int]:
    """(base id, generation) of a group's id."""
    base_id, _, generation = group_id.partition("@")
    return base_id, int(generation) if generation.isdecimal() else 0


class ClusterMachine:
    """The cluster's state; a result is APPLIED or REFUSED, the loop thread knows the rest."""

    posts_states = False

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._state = ClusterState()

    @property
    def successor(self) -> tuple[int, ...] | None:
        """The voters of the next generation once this one is sealed."""
        state = self._state
        return state.voters if state.generation > self._generation else None

    def apply(self, payload: bytes) -> int:
        """Carry out an entry."""
        try:
            self._state.apply(decode_command(payload))
        except ClusterStateError:
            return REFUSED
        return APPLIED

    def to_bytes(self) -> bytes:
        return self._state.to_bytes()

    def load(self, data: bytes) -> None:
        self._state = ClusterState.from_bytes(data)

    def state_to_post(self) -> bytes:
        """For the loop thread, which changes its copy: bytes."""
        return self._state.to_bytes()


class PartitionMachine:
    """One partition's state; a result is an `Outcome`."""

    __slots__ = ("_generation", "_state")

    posts_states = True

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._state = PartitionState()

    @property
    def successor(self) -> tuple[int, ...] | None:
        """The voters of the next generation once this one is sealed."""
        state = self._state
        return state.voters if state.generation > self._generation else None

    def apply(self, payload: bytes) -> int:
        """Carry out an entry."""
        self._state, outcome = self._state.apply(decode_partition_command(payload))
        return int(outcome)

    def to_bytes(self) -> bytes:
        return self._state.to_bytes()

    def load(self, data: bytes) -> None:
        self._state = PartitionState.from_bytes(data)

    def state_to_post(self) -> PartitionState:
        """It never changes, so the loop thread gets the object itself."""
        return self._state
