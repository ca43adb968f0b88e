"""`GroupTable`: which groups this broker coordinates, and how they are read back.

A group belongs to the partition of __consumer_offsets that Java's hash of its id names.
A partition that comes online is read in slices, so that other requests are answered in
between; until it is read, its groups answer CoordinatorLoadInProgressError.  It counts as read once
all that was read is committed: what is not may be cut off again, with another leader's next words.
"""

import logging
from collections.abc import Callable
from functools import partial

from ...core.clock import Clock
from ...core.errors import HeadraceError, MalformedBytesError
from .errors import CoordinatorLoadInProgressError, NotCoordinatorError
from .group import Group
from .group_records import GroupRecord, OffsetRecord, read_record, restore_group
from .group_state import GroupEvent
from .offsets_topic import OFFSETS_TOPIC, OffsetsPartition, StoredReader
from .rebalance import Schedule

COMMITTED_AGAIN_MS = 100

logger = logging.getLogger(__name__)


class GroupTable:
    """Group id -> `Group`, by partition of __consumer_offsets."""

    def __init__(
        self,
        *,
        clock: Clock,
        schedule: Schedule,
        load_bytes: int,
        partition_count: Callable[[], int],
        on_loaded: Callable[[Group], None],
    ) -> None:
        self._clock = clock
        self._schedule = schedule
        self._load_bytes = load_bytes
        self._partition_count = partition_count
        self._on_loaded = on_loaded
        self._groups: dict[int, dict[str, Group]] = {}  # the partitions that are read
        self._loads: dict[int, _Load] = {}  # those that are being read

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
        return bool(self._loads)

    def _groups_beside(self, group_id: str) -> dict[str, Group]:
        index = self.partition_index(group_id)
        groups = self._groups.get(index)
        if groups is not None:
            return groups
        if index in self._loads:
            raise CoordinatorLoadInProgressError(f"{OFFSETS_TOPIC}-{index} is being read")
        raise NotCoordinatorError(f"{OFFSETS_TOPIC}-{index} is not led by this broker")

    # -- loading --------------------------------------------------------------------------

    def load_partition(self, partition: OffsetsPartition) -> None:
        """Begin to read a partition that this broker leads now; small ones are read at once."""
        index = partition.index
        if index in self._loads or index in self._groups:
            return
        load = _Load(partition, self._load_bytes)
        self._loads[index] = load
        self._load_slice(load)

    def unload_partition(self, index: int) -> list[Group]:
        """Forget a partition's groups; they are returned, Dead, to be told off."""
        self._loads.pop(index, None)
        groups = list(self._groups.get(index, {}).values())
        for group in groups:
            self.remove(group)
        self._groups.pop(index, None)
        return groups

    def _load_slice(self, load: "_Load") -> None:
        index = load.partition.index
        if self._loads.get(index) is not load:
            return  # unloaded meanwhile
        try:
            is_finished = load.read_slice()
        except Exception as error:  # a load that stays under way would have clients wait for ever
            del self._loads[index]
            foreseen = isinstance(error, HeadraceError)
            logger.error(
                "%s-%d cannot be read: %s",
                *(OFFSETS_TOPIC, index, error),
                exc_info=None if foreseen else error,
            )
            return
        if not is_finished:
            self._schedule(0, lambda: self._load_slice(load))
        else:
            self._wait_until_committed(load)

    def _wait_until_committed(self, load: "_Load") -> None:
        index, end_offset = load.partition.index, load.end_offset
        if self._loads.get(index) is not load:
            return  # unloaded meanwhile
        if load.partition.high_watermark >= end_offset:
            self._finish(load)
        else:
            load.partition.wait_for_high_watermark(end_offset, partial(self._committed, load))

    def _committed(self, load: "_Load", error: BaseException | None) -> None:
        if error is None:
            self._wait_until_committed(load)
        else:  # the isr fell below min.insync.replicas, or the partition is about to leave
            self._schedule(COMMITTED_AGAIN_MS, lambda: self._wait_until_committed(load))

    def _finish(self, load: "_Load") -> None:
        index = load.partition.index
        del self._loads[index]
        self._groups[index] = groups = load.groups()
        logger.debug("%s-%d: loaded %d groups", OFFSETS_TOPIC, index, len(groups))
        for group in groups.values():
            self._on_loaded(group)


class _Load:
    """One partition being read: the last value of each key."""

    def __init__(self, partition: OffsetsPartition, max_bytes: int) -> None:
        self.partition = partition
        self._reader = StoredReader(partition)
        self._max_bytes = max_bytes
        self._metadata: dict[str, GroupRecord] = {}
        self._offsets: dict[tuple[str, str, int], OffsetRecord] = {}
        self._foreign_count = 0  # records of group kinds that we do not speak

    @property
    def end_offset(self) -> int:
        """Where the partition ended when the reading began."""
        return self._reader.end_offset

    def read_slice(self) -> bool:
        """Read one slice; whether that was the last."""
        if not self._reader.is_finished:
            for key, value in self._reader.read_slice(self._max_bytes):
                self._replay(key, value)
        return self._reader.is_finished

    def _replay(self, key: bytes, value: bytes | None) -> None:
        try:
            record = read_record(key, value)
        except MalformedBytesError as error:
            logger.warning(
                "%s-%d: a record is passed over: %s", OFFSETS_TOPIC, self.partition.index, error
            )
            return
        if isinstance(record, GroupRecord):
            self._metadata.pop(record.group_id, None)
            if record.value is not None:
                self._metadata[record.group_id] = record
        elif isinstance(record, OffsetRecord):
            place = (record.group_id, record.topic, record.partition)
            self._offsets.pop(place, None)
            if record.committed is not None:
                self._offsets[place] = record
        else:
            self._foreign_count += 1

    def groups(self) -> dict[str, Group]:
        """The groups as their last records leave them."""
        if self._foreign_count:
            logger.warning(
                "%s-%d: %d records of consumer (KIP-848), share or streams groups are passed over; "
                "their members must join again, committed offsets are kept",
                OFFSETS_TOPIC,
                self.partition.index,
                self._foreign_count,
            )
        groups: dict[str, Group] = {}
        for group_id, record in self._metadata.items():
            group = groups[group_id] = Group(group_id, self.partition.index)
            assert record.value is not None, group_id
            restore_group(group, record.value)
        for (group_id, topic, partition), offset in self._offsets.items():
            if group_id not in groups:
                groups[group_id] = Group(group_id, self.partition.index)
            assert offset.committed is not None, group_id
            groups[group_id].offsets.committed[topic, partition] = offset.committed
        return groups


def partition_for(group_id: str, partition_count: int) -> int:
    """Kafka's choice: Java's String.hashCode of the id, made positive, modulo the count."""
    value = 0
    data = group_id.encode("utf-16-be", "surrogatepass")
    for position in range(0, len(data), 2):
        value = (31 * value + (data[position] << 8 | data[position + 1])) & 0xFFFF_FFFF
    signed = value - (1 << 32) if value & 0x8000_0000 else value
    return (0 if signed == -(1 << 31) else abs(signed)) % partition_count
