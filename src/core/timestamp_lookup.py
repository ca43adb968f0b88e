"""Offsets by time: the first record that is new enough, and the newest record of all."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from .log_segment import LogSegment


@dataclass(frozen=True, slots=True)
class TimestampOffset:
    """One record: its timestamp [ms], its offset, and the leader epoch that wrote it."""

    timestamp: int
    offset: int
    leader_epoch: int


class TimestampLookup:
    """Finds records of a log by time, without asking each of its segments every time.

    Invariant: `_newest[slot]` is the largest timestamp of the closed segments up to and with
    `slot`, for as many of them as were looked at.  So it never falls, and the first value that
    reaches a timestamp is that of the segment which holds it.  `forget` when a closed segment
    goes, changes or opens.
    """

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: list[int] = []

    def forget(self) -> None:
        """Look at every segment anew when the next time is asked for."""
        self._newest.clear()

    def find_by_timestamp(
        self, segments: Sequence[LogSegment], timestamp: int, log_start_offset: int
    ) -> TimestampOffset | None:
        """The earliest record at or behind `log_start_offset` no older than `timestamp`."""
        first = bisect_left(self._newest_of_closed(segments), timestamp)
        for slot in range(first, len(segments)):
            segment = segments[slot]
            if segment.max_timestamp < timestamp:
                continue
            offset = max(log_start_offset, segment.base_offset)
            while (batch := segment.batch_with_timestamp(timestamp, offset)) is not None:
                for record in batch.records():
                    if record.timestamp >= timestamp and record.offset >= log_start_offset:
                        return TimestampOffset(record.timestamp, record.offset, batch.leader_epoch)
                # Its header promises more than its records hold (they were compacted away).
                offset = batch.next_offset
        return None

    def find_newest(
        self, segments: Sequence[LogSegment], log_start_offset: int
    ) -> TimestampOffset | None:
        """The first record that carries the newest timestamp."""
        newest = max([segments[-1].max_timestamp, *self._newest_of_closed(segments)[-1:]])
        if newest < 0:
            return None
        return self.find_by_timestamp(segments, newest, log_start_offset)

    def _newest_of_closed(self, segments: Sequence[LogSegment]) -> list[int]:
        closed_count = len(segments) - 1
        newest = self._newest
        assert len(newest) <= closed_count, (len(newest), closed_count)
        for slot in range(len(newest), closed_count):
            newest.append(max([segments[slot].max_timestamp, *newest[-1:]]))
        return newest
