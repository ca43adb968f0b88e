"""Groups that this broker has left: kept in the write-ahead log, so that it never begins them anew.

A broker that restarts may not have heard yet that a partition moved away, and opens the group of a
partition that it knows nothing of as it was born.  So the generation it left with stands in its
journal, as a group in which it does not vote, until its topic is gone.
Loop thread only.
"""

from collections.abc import Iterable

from .group_machines import generation_group_id
from .partition_state import PartitionState
from .raft_wal import GroupImage, RaftWal
from .seed_sender import PendingSeed, images_of_seed


class LeftGroups:
    """See the module."""

    def __init__(self, wal: RaftWal) -> None:
        self._wal = wal
        self._left: dict[str, int] = {}  # base id -> the generation that began without us

    def __contains__(self, base_id: str) -> bool:
        return base_id in self._left

    def is_over(self, base_id: str, generation: int) -> bool:
        """Whether this broker left with that generation, or a later one: its seed comes late."""
        return self._left.get(base_id, -1) >= generation

    def leave(self, base_id: str, state: PartitionState, seed: PendingSeed | None = None) -> None:
        """`state` began a generation without this broker, which keeps `seed` for the others.

        Raises KafkaStorageError: then neither is in the log.
        """
        group_id, image = generation_group_id(base_id, state.generation), state.to_bytes()
        left = {group_id: lambda: GroupImage(1, 0, image)}
        self._wal.begin_groups({**left, **images_of_seed(self._wal, seed)})
        self.forget([base_id])
        self._left[base_id] = state.generation

    def found(self, base_id: str, generation: int) -> None:
        """An earlier life of this broker left it."""
        self._left[base_id] = generation

    def forget(self, base_ids: Iterable[str]) -> None:
        """Their topic is gone."""
        gone = [each for each in base_ids if each in self._left]
        self._wal.forget_groups(
            [generation_group_id(base_id, self._left.pop(base_id)) for base_id in gone]
        )
