"""What the write-ahead log held of partitions' groups when this process started.

A crash may leave a group in two generations: the later one counts.  Loop thread only.
"""

from dataclasses import dataclass

from .group_machines import generation_group_id, split_group_id
from .partition_group import parse_partition_group_id
from .partition_state import PartitionState
from .raft_wal import GroupImage, RaftWal


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """One group; `state` is that of its snapshot, behind which entries may stand."""

    group_id: str
    generation: int
    state: PartitionState
    image: GroupImage

    @property
    def is_shared(self) -> bool:
        """Whether the Raft thread goes on with it: others voted, and it had not ended yet."""
        return self.state.generation == self.generation and len(self.state.voters) > 1

    def is_left_by(self, broker_id: int) -> bool:
        """Whether it stands in the log to say that this generation began without the broker."""
        state = self.state
        is_begun = state.generation == self.generation and bool(state.voters)
        return is_begun and broker_id not in state.voters


class FoundGroups:
    """See the module."""

    def __init__(self, wal: RaftWal) -> None:
        self._wal = wal
        self._images: dict[str, dict[int, GroupImage]] | None = None

    def take_newest(self, base_id: str) -> FoundGroup | None:
        """The group in its newest generation, which is given once; older ones are forgotten."""
        images = self._all().pop(base_id, None)
        if not images:
            return None
        generation = max(images)
        older = [generation_group_id(base_id, each) for each in images if each != generation]
        self._wal.forget_groups(older)
        image, group_id = images[generation], generation_group_id(base_id, generation)
        state = PartitionState.from_bytes(image.snapshot) if image.snapshot else PartitionState()
        return FoundGroup(group_id, generation, state, image)

    def _all(self) -> dict[str, dict[int, GroupImage]]:
        if self._images is None:
            self._images = {}
            for group_id, image in self._wal.replay().items():
                if parse_partition_group_id(group_id) is not None:
                    base_id, generation = split_group_id(group_id)
                    self._images.setdefault(base_id, {})[generation] = image
        return self._images
