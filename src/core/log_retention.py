"""Which of a log's oldest segments are too old, too much, or wholly below its start.

    BREACH       A SEGMENT GOES WHERE                               FOR cleanup.policy
    time         its newest record is older than retention.ms       delete
    size         without it the log still has retention.bytes       delete
    log start    its last record lies below log_start_offset        any

Only from the oldest on, never past the high watermark, and the first segment that stays ends the
count.  Where all would go, the log rolls first, so that its offsets are kept (KAFKA.md 53).
"""

import os
from typing import TYPE_CHECKING

from .log_segment import LOG_SUFFIX

if TYPE_CHECKING:
    from .log import Log
    from .log_segment import LogSegment


def enforce_retention(log: "Log", now_ms: int) -> int:
    """Drop what the log's settings say; how many segments went."""
    count = count_breaching_segments(log, now_ms)
    if count:
        log.delete_oldest_segments(count)
    return count


def count_breaching_segments(log: "Log", now_ms: int) -> int:
    """How many of the oldest segments are to go, for any of the three reasons."""
    deletable = _count_deletable(log)
    below_start = _count_below_log_start(log, deletable)
    if not log.config.is_deleted:
        return below_start
    return max(
        below_start,
        _count_past_time(log, deletable, now_ms),
        _count_past_size(log, deletable),
    )


def newest_timestamp_of(segment: "LogSegment") -> int:
    """Its newest record's [ms]; its file's where no record carries one."""
    timestamp = segment.max_timestamp
    if timestamp >= 0:
        return timestamp
    return os.stat(segment.path_of(LOG_SUFFIX)).st_mtime_ns // 1_000_000


def _count_deletable(log: "Log") -> int:
    """How many of the oldest segments hold only committed records; an empty last one stays."""
    segments = log.segments
    for index in range(len(segments)):
        is_last = index + 1 == len(segments)
        next_offset = log.log_end_offset if is_last else segments[index + 1].base_offset
        if next_offset > log.high_watermark or (is_last and not segments[index].size_bytes):
            return index
    return len(segments)


def _count_below_log_start(log: "Log", deletable: int) -> int:
    segments = log.segments
    last_candidate = min(deletable, len(segments) - 1)
    for index in range(last_candidate):
        if segments[index + 1].base_offset > log.log_start_offset:
            return index
    return last_candidate


def _count_past_time(log: "Log", deletable: int, now_ms: int) -> int:
    if log.config.retention_ms < 0:
        return 0
    count = 0
    for index in range(deletable):
        segment = log.segments[index]
        # One that compaction emptied holds nothing to keep: it goes along with what follows it.
        if segment.size_bytes == 0:
            continue
        if now_ms - newest_timestamp_of(segment) <= log.config.retention_ms:
            break
        count = index + 1
    return count


def _count_past_size(log: "Log", deletable: int) -> int:
    if log.config.retention_bytes < 0:
        return 0
    surplus_bytes = log.size_bytes - log.config.retention_bytes
    for index in range(deletable):
        surplus_bytes -= log.segments[index].size_bytes
        if surplus_bytes < 0:
            return index
    return deletable
