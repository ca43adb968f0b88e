"""`GroupLoading`: reads partitions of __consumer_offsets back, a little in each turn of the loop.

However much a partition holds, clients are answered between two steps: one step reads a few hundred
records, or makes as many of them groups and offsets.  Of each key only the last value is decoded.
A partition of few records is read at once.  Where several are to be read, they take turns.

    read -> make groups -> wait until all that was read is committed -> `on_loaded`
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from ...core.errors import HeadraceError, MalformedBytesError
from .group import Group
from .group_records import (
    VERSION_BYTES,
    GroupRecord,
    OffsetRecord,
    RecordKind,
    StoredRecord,
    check_value_version,
    kind_of_key,
    read_record,
    restore_group,
)
from .offsets_topic import OFFSETS_TOPIC, OffsetsPartition, StoredReader
from .rebalance import Schedule

COMMITTED_AGAIN_MS = 100
RECORDS_A_STEP = 500
READ_BYTES = 64 * 1024

logger = logging.getLogger(__name__)


class GroupLoading:
    """The partitions that are being read.  `on_loaded`: one is, with its groups."""

    def __init__(
        self,
        schedule: Schedule,
        on_loaded: Callable[[int, dict[str, Group]], None],
    ) -> None:
        self._schedule = schedule
        self._on_loaded = on_loaded
        self._loads: dict[int, _Load] = {}
        self._waiting: deque[_Load] = deque()  # which have steps to take
        self._is_scheduled = False

    def __contains__(self, index: int) -> bool:
        return index in self._loads

    def __bool__(self) -> bool:
        return bool(self._loads)

    def begin(self, partition: OffsetsPartition) -> None:
        """Read a partition that this broker leads now; raises what prevents it."""
        load = _Load(partition)
        self._loads[partition.index] = load
        if load.is_small:
            self._step(load)
        else:
            self._take_turns(load)

    def give_up(self, index: int) -> None:
        """The partition is led here no more."""
        self._loads.pop(index, None)

    def _take_turns(self, load: "_Load") -> None:
        self._waiting.append(load)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._schedule(0, self._take_turn)

    def _take_turn(self) -> None:
        self._is_scheduled = False
        load = self._waiting.popleft()
        if self._waiting:
            self._is_scheduled = True
            self._schedule(0, self._take_turn)
        self._step(load)

    def _step(self, load: "_Load") -> None:
        index = load.partition.index
        if self._loads.get(index) is not load:
            return  # given up meanwhile
        try:
            is_finished = load.take_step()
        except Exception as error:  # a load that stays under way would have clients wait for ever
            del self._loads[index]
            foreseen = isinstance(error, HeadraceError)
            logger.error(
                "%s-%d cannot be read: %s",
                *(OFFSETS_TOPIC, index, error),
                exc_info=None if foreseen else error,
            )
            return
        if is_finished:
            self._wait_until_committed(load)
        else:
            self._take_turns(load)

    def _wait_until_committed(self, load: "_Load") -> None:
        index, end_offset = load.partition.index, load.end_offset
        if self._loads.get(index) is not load:
            return  # given up meanwhile
        if load.partition.high_watermark >= end_offset:
            del self._loads[index]
            self._on_loaded(index, load.groups)
        else:
            load.partition.wait_for_high_watermark(end_offset, partial(self._committed, load))

    def _committed(self, load: "_Load", error: BaseException | None) -> None:
        if error is None:
            self._wait_until_committed(load)
        else:  # the isr fell below min.insync.replicas, or the partition is about to leave
            self._schedule(COMMITTED_AGAIN_MS, lambda: self._wait_until_committed(load))


class _Load:
    """One partition being read: the last value of each key, then the groups as these leave them."""

    def __init__(self, partition: OffsetsPartition) -> None:
        self.partition = partition
        self.groups: dict[str, Group] = {}
        self._reader = StoredReader(partition)
        self._steps = self._take_steps()
        # By the key behind its version: both versions of an offset's key are laid out alike.
        self._metadata: dict[bytes, StoredRecord] = {}
        self._offsets: dict[bytes, StoredRecord] = {}
        self._foreign_count = 0  # records of group kinds that we do not speak

    @property
    def end_offset(self) -> int:
        """Where the partition ended when the reading began."""
        return self._reader.end_offset

    @property
    def is_small(self) -> bool:
        return self._reader.offsets_left <= RECORDS_A_STEP // 10

    def take_step(self) -> bool:
        """Do a little more; whether that was all."""
        return next(self._steps, None) is None

    def _take_steps(self) -> Iterator[int]:
        """Work that stops behind every so many records; nobody steps further where this raises."""
        count = 0
        for work in (self._replay_all, self._decode_last):
            for _ in work():
                count += 1
                if count % RECORDS_A_STEP == 0:
                    yield count
        if self._foreign_count:
            logger.warning(
                "%s-%d: %d records of consumer (KIP-848), share or streams groups are passed over; "
                "their members must join again, committed offsets are kept",
                OFFSETS_TOPIC,
                self.partition.index,
                self._foreign_count,
            )

    def _replay_all(self) -> Iterator[None]:
        while not self._reader.is_finished:
            for record in self._reader.read_slice(READ_BYTES):
                self._replay(*record)
                yield

    def _replay(self, key: bytes, value: bytes | None) -> None:
        try:
            kind = kind_of_key(key)
            if value is not None and kind is not RecordKind.FOREIGN:
                check_value_version(value)
        except MalformedBytesError as error:
            self._pass_over(error)
            return
        if kind is RecordKind.FOREIGN:
            self._foreign_count += 1
            return
        last = self._offsets if kind is RecordKind.OFFSET else self._metadata
        place = key[VERSION_BYTES:]
        last.pop(place, None)
        if value is not None:
            last[place] = (key, value)

    def _decode_last(self) -> Iterator[None]:
        """Make groups of what is left; what is decoded is let go of, or all would be at once."""
        for last in (self._metadata, self._offsets):
            while last:
                _, record = last.popitem()
                try:
                    self._take(read_record(*record))
                except MalformedBytesError as error:
                    self._pass_over(error)
                yield

    def _take(self, record: OffsetRecord | GroupRecord | None) -> None:
        assert record is not None, self
        group = self.groups.get(record.group_id)
        if group is None:
            group = self.groups[record.group_id] = Group(record.group_id, self.partition.index)
        if isinstance(record, GroupRecord):
            assert record.value is not None, record
            restore_group(group, record.value)
        else:
            assert record.committed is not None, record
            group.offsets.committed[record.topic, record.partition] = record.committed

    def _pass_over(self, error: MalformedBytesError) -> None:
        logger.warning(
            "%s-%d: a record is passed over: %s", OFFSETS_TOPIC, self.partition.index, error
        )
