"""Retention: which of the oldest segments go, and why."""

from pathlib import Path
from typing import Any

import pytest

from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.log_retention import count_breaching_segments, enforce_retention
from headrace.core.worker import InlineWorker
from tests.support.batches import make_batch
from tests.support.manual_clock import ManualClock

NOW_MS = ManualClock().now_ms()
HOUR_MS = 3_600_000


def new_log(folder: Path, ages_hours: list[int], **settings: Any) -> Log:
    """A log with one batch a segment, each of the given age; all of it committed."""
    config = LogConfig(segment_bytes=200, **settings)
    log = Log.open(
        folder,
        topic="clicks",
        partition=0,
        config=config,
        clock=ManualClock(),
        worker=InlineWorker(),
        is_clean=True,
    )
    for age_hours in ages_hours:
        log.append_as_leader(
            make_batch([(b"k", b"v" * 80)], first_timestamp=NOW_MS - age_hours * HOUR_MS),
            leader_epoch=0,
        )
    log.update_high_watermark(log.log_end_offset)
    assert len(log.segments) == len(ages_hours)
    return log


def base_offsets(log: Log) -> list[int]:
    return [segment.base_offset for segment in log.segments]


def test_only_segments_older_than_retention_go(tmp_path: Path) -> None:
    log = new_log(tmp_path, [9, 8, 3, 2, 1], retention_ms=5 * HOUR_MS)
    assert enforce_retention(log, NOW_MS) == 2
    assert base_offsets(log) == [2, 3, 4]
    assert log.log_start_offset == 2
    assert enforce_retention(log, NOW_MS) == 0


def test_young_segment_protects_the_older_ones_behind_it(tmp_path: Path) -> None:
    log = new_log(tmp_path, [9, 1, 8, 1], retention_ms=5 * HOUR_MS)
    assert enforce_retention(log, NOW_MS) == 1


def test_log_that_is_wholly_too_old_keeps_its_offsets(tmp_path: Path) -> None:
    log = new_log(tmp_path, [9, 8, 7], retention_ms=5 * HOUR_MS)
    enforce_retention(log, NOW_MS)
    assert (log.log_start_offset, log.log_end_offset) == (3, 3)
    assert log.size_bytes == 0
    assert enforce_retention(log, NOW_MS) == 0


def test_nothing_above_the_high_watermark_goes(tmp_path: Path) -> None:
    log = new_log(tmp_path, [9, 8, 7, 6], retention_ms=5 * HOUR_MS)
    log.append_as_leader(
        make_batch([(b"k", b"v" * 80)], first_timestamp=NOW_MS - 9 * HOUR_MS), leader_epoch=0
    )
    assert log.high_watermark == 4
    assert count_breaching_segments(log, NOW_MS) == 4


def test_size_keeps_at_least_what_retention_bytes_says(tmp_path: Path) -> None:
    log = new_log(tmp_path, [1, 1, 1, 1], retention_bytes=0)
    one = log.segments[0].size_bytes
    for keep, expected in ((4 * one, 0), (3 * one + 1, 0), (3 * one, 1), (one, 3), (0, 4)):
        log.update_config(LogConfig(segment_bytes=200, retention_bytes=keep))
        assert count_breaching_segments(log, NOW_MS) == expected, keep


@pytest.mark.parametrize("policy", [("delete",), ("compact",)])
def test_segments_below_the_log_start_go_under_any_policy(
    tmp_path: Path, policy: tuple[str, ...]
) -> None:
    log = new_log(tmp_path, [1, 1, 1], cleanup_policy=frozenset(policy))
    log.log_start_offset = 2
    assert count_breaching_segments(log, NOW_MS) == 2


def test_compacted_log_is_not_cut_by_age_or_size(tmp_path: Path) -> None:
    log = new_log(
        tmp_path,
        [9, 8],
        cleanup_policy=frozenset(("compact",)),
        retention_ms=1,
        retention_bytes=1,
    )
    assert count_breaching_segments(log, NOW_MS) == 0


def test_no_retention_keeps_everything(tmp_path: Path) -> None:
    log = new_log(tmp_path, [900, 800], retention_ms=-1)
    assert count_breaching_segments(log, NOW_MS) == 0


def test_record_without_timestamp_ages_by_its_file(tmp_path: Path) -> None:
    log = new_log(tmp_path, [1], retention_ms=5 * HOUR_MS)
    for _ in range(2):
        log.append_as_leader(make_batch([(b"k", b"v" * 80)], first_timestamp=-1), leader_epoch=0)
    log.update_high_watermark(3)
    file_ms = (tmp_path / f"{1:020d}.log").stat().st_mtime_ns // 1_000_000
    assert count_breaching_segments(log, file_ms + 4 * HOUR_MS) <= 1
    assert count_breaching_segments(log, file_ms + 6 * HOUR_MS) == 3
