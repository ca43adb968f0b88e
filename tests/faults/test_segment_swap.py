"""Compaction's swap of segments, cut off at every rename and unlink: old or new, never a mix."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.core.log import Log
from headrace.core.log_segment import CLEANED_SUFFIX, LogSegment
from headrace.core.record_batch import iter_batches
from tests.support.log_stage import SMALL_SEGMENTS, LogStage, Row, make_batch, rows_of


class Crash(BaseException):
    """The process dies here."""


class CrashingDisk:
    """Counts what changes names on disk, and dies before the operation with the number given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for name in ("rename", "unlink"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if self.left == 0:
                raise Crash
            self.left -= 1
            return real(*arguments, **keywords)

        return call


def clean_copy(log: Log, segments: list[LogSegment], keep: Callable[[Row], bool]) -> LogSegment:
    """A `.cleaned` segment with the batches of `segments` whose first record `keep` accepts."""
    cleaned = LogSegment(
        str(log.path),
        segments[0].base_offset,
        segment_bytes=1 << 20,
        index_max_bytes=1 << 20,
        index_interval_bytes=256,
        roll_ms=1 << 40,
        suffix=CLEANED_SUFFIX,
    )
    for segment in segments:
        for batch in iter_batches(segment.log.view(0, segment.size_bytes)):
            first = next(iter(batch.records()))
            if keep((first.offset, first.value or b"")):
                cleaned.append_records(batch.view())
    cleaned.make_inactive()
    cleaned.log.flush()
    return cleaned


def is_kept(row: Row) -> bool:
    return row[0] % 4 == 0


def test_swap_interrupted_anywhere_leaves_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = LogStage(tmp_path, config=SMALL_SEGMENTS)
    old_rows = stage.write(200, is_clean=True)
    saved = tmp_path / "saved"
    shutil.copytree(stage.folder, saved)
    disk = CrashingDisk(monkeypatch)
    seen = set()
    for crash_at in range(200):
        shutil.rmtree(stage.folder)
        shutil.copytree(saved, stage.folder)
        log = stage.open(is_clean=True)
        first, second, third = log.segments[0:2], log.segments[2:4], log.segments[4]
        new_rows = [row for row in old_rows if row[0] // 2 % 2 == 0 or row[0] >= third.base_offset]
        new = [clean_copy(log, first, is_kept), clean_copy(log, second, is_kept)]
        disk.left = crash_at
        try:
            log.replace_segments(new, [*first, *second])
            is_over = True
        except Crash:
            is_over = False
        disk.left = -1
        if is_over:
            assert rows_of(log) == new_rows
        recovered = stage.open(recovery_point=400)
        rows = rows_of(recovered)
        assert rows in (old_rows, new_rows), crash_at
        assert not is_over or rows == new_rows
        seen.add(rows == new_rows)
        assert not [name for name in stage.names() if name.endswith((".cleaned", ".swap"))]
        info = recovered.append_as_leader(make_batch([b"next"]), leader_epoch=2)
        assert info.base_offset == 400
        recovered.close()
        log.close(clean=False)
        if is_over:
            break
    else:
        pytest.fail("the swap never came to its end")
    assert seen == {True, False}


def test_recovery_interrupted_anywhere_comes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = LogStage(tmp_path, config=SMALL_SEGMENTS)
    stage.write(120, is_clean=True)
    log = stage.open(is_clean=True)
    old = log.segments[0:2]
    disk = CrashingDisk(monkeypatch)
    new = clean_copy(log, old, is_kept)
    # Three renames of the new files to .swap, then the first of the old segment's.
    disk.left = 4
    with pytest.raises(Crash):
        log.replace_segments([new], old)
    disk.left = -1
    log.close(clean=False)
    saved = tmp_path / "saved"
    shutil.copytree(stage.folder, saved)
    outcomes = []
    for crash_at in range(100):
        shutil.rmtree(stage.folder)
        shutil.copytree(saved, stage.folder)
        disk.left = crash_at
        try:
            stage.open(recovery_point=240).close(clean=False)
            is_over = True
        except Crash:
            is_over = False
        disk.left = -1
        again = stage.open(recovery_point=240)
        outcomes.append(rows_of(again))
        again.close()
        if is_over:
            break
    assert all(rows == outcomes[-1] for rows in outcomes)
    assert len(outcomes) > 3


def test_reader_of_a_replaced_segment_keeps_its_bytes(tmp_path: Path) -> None:
    stage = LogStage(tmp_path, config=SMALL_SEGMENTS)
    old_rows = stage.write(120, is_clean=True)
    log = stage.open(is_clean=True)
    old = log.segments[0:2]
    end = log.segments[1].base_offset
    view = log.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=end)
    log.replace_segments([clean_copy(log, old, is_kept)], old)
    log.close()
    rows = [(r.offset, r.value) for batch in iter_batches(view) for r in batch.records()]
    assert rows == old_rows[:end]
