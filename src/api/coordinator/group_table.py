"""`GroupTable`: which groups this broker coordinates, and how they are read back.

A group belongs to the partition of __consumer_offsets that Java's hash of its id names.
Until a partition that comes online is read (`GroupLoading`), its groups answer
CoordinatorLoadInProgressError.  It counts as read once all that was read is committed: what is not
may be cut off again, with another leader's next words.
"""

import logging
from collections.abc import Callable

from ...core.clock import Clock
from .errors import CoordinatorLoadInProgressError, NotCoordinatorError
from .group import Group
from .group_loading import GroupLoading
from .group_state import GroupEvent
from .offsets_topic import OFFSETS_TOPIC, OffsetsPartition
from .rebalance import Schedule

logger = logging.getLogger(__name__)


class GroupTable:
    """Group id -> `Group`, by partition of __consumer_offsets."""

    def __init__(
        self,
        *,
        clock: Clock,
        schedule: Schedule,
        partition_count: Callable[[], int],
        on_loaded: Callable[[Group], None],
    ) -> None:
        self._clock = clock
        self._partition_count = partition_count
        self._on_loaded = on_loaded
        self._groups: dict[int, dict[str, Group]] = {}  # the partitions that are read
        self._loading = GroupLoading(schedule, self._partition_loaded)

    # -- finding --------------------------------------------------------------------------

    def partition_index(self, group_id: str) -> int:
        """Which partition of __consumer_offsets holds the group."""
        count = self._partition_count()
        if count == 0:
            raise NotCoordinatorError(f"{OFFSETS_TOPIC} does not exist yet")
        return partition_for(group_id, count)

    def get(self, group_id: str) -> Group | None:
        """The group, or None; raises where this broker cannot know."""
        return self._groups_beside(group_id).get(group_id)

    def get_or_create(self, group_id: str) -> Group:
        """The group, made now if there is none."""
        groups = self._groups_beside(group_id)
        group = groups.get(group_id)
        if group is None:
            index = self.partition_index(group_id)
            group = Group(group_id, index, entered_at_ms=self._clock.now_ms())
            groups[group_id] = group
        return group

    def remove(self, group: Group) -> None:
        """Forget the group; who still holds it finds it Dead."""
        group.states.on_event(GroupEvent.REMOVED, now_ms=self._clock.now_ms())
        self._groups[group.partition_index].pop(group.group_id, None)

    def all_groups(self) -> list[Group]:
        """Every group that is loaded."""
        return [group for groups in self._groups.values() for group in groups.values()]

    @property
    def is_loading(self) -> bool:
        return bool(self._loading)

    def _groups_beside(self, group_id: str) -> dict[str, Group]:
        index = self.partition_index(group_id)
        groups = self._groups.get(index)
        if groups is not None:
            return groups
        if index in self._loading:
            raise CoordinatorLoadInProgressError(f"{OFFSETS_TOPIC}-{index} is being read")
        raise NotCoordinatorError(f"{OFFSETS_TOPIC}-{index} is not led by this broker")

    # -- loading --------------------------------------------------------------------------

    def load_partition(self, partition: OffsetsPartition) -> None:
        """Begin to read a partition that this broker leads now."""
        if partition.index not in self._loading and partition.index not in self._groups:
            self._loading.begin(partition)

    def unload_partition(self, index: int) -> list[Group]:
        """Forget a partition's groups; they are returned, Dead, to be told off."""
        self._loading.give_up(index)
        groups = list(self._groups.get(index, {}).values())
        for group in groups:
            self.remove(group)
        self._groups.pop(index, None)
        return groups

    def _partition_loaded(self, index: int, groups: dict[str, Group]) -> None:
        self._groups[index] = groups
        logger.debug("%s-%d: loaded %d groups", OFFSETS_TOPIC, index, len(groups))
        for group in groups.values():
            self._on_loaded(group)


def partition_for(group_id: str, partition_count: int) -> int:
    """Kafka's choice: Java's String.hashCode of the id, made positive, modulo the count."""
    value = 0
    data = group_id.encode("utf-16-be", "surrogatepass")
    for position in range(0, len(data), 2):
        value = (31 * value + (data[position] << 8 | data[position + 1])) & 0xFFFF_FFFF
    signed = value - (1 << 32) if value & 0x8000_0000 else value
    return (0 if signed == -(1 << 31) else abs(signed)) % partition_count
