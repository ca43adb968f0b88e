"""Offsets by time: the first record that is new enough, and the newest record of all."""

from collections.abc import Sequence
from dataclasses import dataclass

from .log_segment import LogSegment


@dataclass(frozen=True, slots=True)
class TimestampOffset:
    """One record: its timestamp [ms], its offset, and the leader epoch that wrote it."""

    timestamp: int
    offset: int
    leader_epoch: int


def find_by_timestamp(
    segments: Sequence[LogSegment], timestamp: int, log_start_offset: int
) -> TimestampOffset | None:
    """The earliest record at or behind `log_start_offset` no older than `timestamp`."""
    for segment in segments:
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


def find_newest(segments: Sequence[LogSegment], log_start_offset: int) -> TimestampOffset | None:
    """The first record that carries the newest timestamp."""
    newest = max((segment.max_timestamp for segment in segments), default=-1)
    if newest < 0:
        return None
    return find_by_timestamp(segments, newest, log_start_offset)
