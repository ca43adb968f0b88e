"""A log whose files were cut, zeroed, changed or lost: what is served is a prefix, or nothing."""

import random
import shutil
from pathlib import Path

import pytest

from headrace.core.errors import LogCorruptedError
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import iter_batches
from tests.support.log_stage import ONE_SEGMENT, SMALL_SEGMENTS, LogStage, make_batch, rows_of

PAGE_BYTES = 4096


def trimmed(content: bytes) -> bytes:
    """Without the reserved tail; a batch's own last byte, its header count, is kept."""
    end = max(batch_end for batch_end in _batch_ends(content))
    return content[:end]


def _batch_ends(content: bytes) -> list[int]:
    ends, position = [], 0
    while position < len(content) and any(content[position : position + 61]):
        position += 12 + int.from_bytes(content[position + 8 : position + 12], "big")
        ends.append(position)
    return ends


def test_log_cut_at_every_byte_is_a_prefix_of_whole_batches(tmp_path: Path) -> None:
    stage = LogStage(tmp_path)
    rows = stage.write(6, is_clean=False)
    content = trimmed(stage.file().read_bytes())
    ends = _batch_ends(content)
    for size_bytes in range(len(content) + 1):
        for tail in (b"", bytes(64)):
            stage.file().write_bytes(content[:size_bytes] + tail)
            log = stage.open()
            whole = sum(end <= size_bytes for end in ends)
            # The last byte of these batches is a zero, so a zeroed tail may complete one.
            whole += tail != b"" and size_bytes + 1 in ends
            assert log.log_end_offset == 2 * whole, size_bytes
            assert rows_of(log) == rows[: 2 * whole], size_bytes
            log.close(clean=False)


def test_log_goes_on_after_a_torn_tail_was_cut(tmp_path: Path) -> None:
    stage = LogStage(tmp_path)
    rows = stage.write(10, is_clean=False)
    content = trimmed(stage.file().read_bytes())
    stage.file().write_bytes(content[:-20] + bytes(5000))
    log = stage.open()
    batch_bytes = len(content) - _batch_ends(content)[-2]
    assert batch_bytes - 25 <= log.cut_bytes <= batch_bytes - 20
    assert log.append_as_leader(make_batch([b"new"]), leader_epoch=2).base_offset == 18
    log.close()
    log = stage.open(is_clean=True)
    assert rows_of(log) == [*rows[:18], (18, b"new")]
    log.close()


def test_bit_flipped_in_the_middle_is_never_served(tmp_path: Path) -> None:
    stage = LogStage(tmp_path)
    rows = stage.write(12, is_clean=False)
    content = trimmed(stage.file().read_bytes())
    ends = _batch_ends(content)
    for position in range(ends[4], ends[5]):
        for bit in (0, 7):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            stage.file().write_bytes(damaged)
            if ends[4] + 12 <= position < ends[4] + 16:
                # Only the leader epoch is under no checksum; the records are what was written.
                log = stage.open()
                assert rows_of(log) == rows
                log.close(clean=False)
                continue
            with pytest.raises(LogCorruptedError) as caught:
                stage.open()
            assert caught.value.position == ends[4]


def test_bit_flipped_in_the_last_batch_cuts_it(tmp_path: Path) -> None:
    stage = LogStage(tmp_path)
    rows = stage.write(5, is_clean=False)
    content = trimmed(stage.file().read_bytes())
    for position in range(_batch_ends(content)[-2], len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        stage.file().write_bytes(damaged)
        log = stage.open()
        assert rows_of(log) in (rows, rows[:-2]), position
        log.close(clean=False)


def test_changed_bytes_in_a_closed_segment_stop_the_partition(tmp_path: Path) -> None:
    stage = LogStage(tmp_path, config=SMALL_SEGMENTS)
    stage.write(120, is_clean=False)
    damaged = bytearray(stage.file().read_bytes())
    damaged[-10] ^= 0xFF
    stage.file().write_bytes(damaged)
    with pytest.raises(LogCorruptedError, match="goes on in the next segment"):
        stage.open(recovery_point=0)
    stage.open(recovery_point=240).close()


def test_closed_segment_cut_short_ends_the_log_there(tmp_path: Path) -> None:
    stage = LogStage(tmp_path, config=SMALL_SEGMENTS)
    rows = stage.write(120, is_clean=False)
    bases = sorted(int(path.stem) for path in stage.folder.glob("*.log"))
    assert len(bases) > 3
    path = stage.file(".log", bases[1])
    path.write_bytes(path.read_bytes()[:-30])
    log = stage.open()
    assert rows_of(log) == rows[: log.log_end_offset]
    assert bases[1] < log.log_end_offset < bases[2]
    assert len(log.segments) == 2
    log.append_as_leader(make_batch([b"on"]), leader_epoch=2)
    log.close()
    assert sorted(int(path.stem) for path in stage.folder.glob("*.log")) == bases[:2]


@pytest.mark.parametrize("seed", range(60))
def test_power_cut_keeps_what_was_synced(tmp_path: Path, seed: int) -> None:
    """Pages written after the last sync reach the disk or do not, in any combination."""
    chance = random.Random(seed)
    stage = LogStage(tmp_path)
    log = stage.open(is_clean=True)
    synced, synced_offset = b"", 0
    for number in range(chance.randrange(20, 120)):
        value = chance.randbytes(chance.choice((10, 100, 900, 6000)))
        log.append_as_leader(make_batch([b"%d" % number, value]), leader_epoch=1)
        if chance.random() < 0.03:
            log.flush()
            synced, synced_offset = _written(stage, log.size_bytes), log.recovery_point
    rows, content = rows_of(log), _written(stage, log.size_bytes)
    log.close(clean=False)
    on_disk = bytearray(synced.ljust(len(content), b"\0"))
    for start in range(0, len(content), PAGE_BYTES):
        if chance.random() < 0.7:
            on_disk[start : start + PAGE_BYTES] = content[start : start + PAGE_BYTES]
    stage.file().write_bytes(on_disk)
    log = stage.open(recovery_point=synced_offset)
    assert log.log_end_offset >= synced_offset, f"seed {seed}"
    assert rows_of(log) == rows[: log.log_end_offset], f"seed {seed}"
    log.close()


def _written(stage: LogStage, size_bytes: int) -> bytes:
    return stage.file().read_bytes()[:size_bytes]


def test_lost_page_below_the_recovery_point_stops_the_partition(tmp_path: Path) -> None:
    stage = LogStage(tmp_path)
    stage.write(300, is_clean=False)
    damaged = bytearray(stage.file().read_bytes())
    damaged[2 * PAGE_BYTES : 3 * PAGE_BYTES] = bytes(PAGE_BYTES)
    stage.file().write_bytes(damaged)
    with pytest.raises(LogCorruptedError, match="whole batches follow"):
        stage.open(recovery_point=500)
    log = stage.open(recovery_point=10)
    assert 10 < log.log_end_offset < 500
    log.close()


@pytest.mark.parametrize("kind", [".index", ".timeindex"])
@pytest.mark.parametrize("is_clean", [True, False])
def test_damaged_indexes_change_no_answer(tmp_path: Path, kind: str, is_clean: bool) -> None:
    stage = LogStage(tmp_path, config=SMALL_SEGMENTS)
    rows = stage.write(150, is_clean=True)
    saved = tmp_path / "saved"
    shutil.copytree(stage.folder, saved)
    bases = sorted(int(path.stem) for path in stage.folder.glob("*.log"))
    chance = random.Random(7)
    for base in (bases[0], bases[1], bases[-1]):
        content = stage.file(kind, base).read_bytes()
        damages = [None, b"", bytes(len(content)), b"\xff" * len(content), content * 2]
        damages += [content[:cut] for cut in range(0, len(content), 3)]
        damages += [chance.randbytes(len(content)) for _ in range(5)]
        for damage in damages:
            shutil.rmtree(stage.folder)
            shutil.copytree(saved, stage.folder)
            if damage is None:
                stage.file(kind, base).unlink()
            else:
                stage.file(kind, base).write_bytes(damage)
            log = stage.open(is_clean=is_clean)
            assert [_first_row(log, offset) for offset in range(300)] == rows
            found = log.find_offset_by_timestamp(stage.clock.now_ms())
            assert found is not None
            assert found.offset == 0
            log.close()


def _first_row(log: Log, offset: int) -> tuple[int, bytes]:
    view = log.read_records(start_offset=offset, max_bytes=1, upper_bound_offset=300)
    batch = next(iter_batches(view))
    return next((r.offset, r.value or b"") for r in batch.records() if r.offset == offset)


def test_reserved_tail_is_trimmed_and_is_no_corruption(tmp_path: Path) -> None:
    for is_clean in (True, False):
        stage = LogStage(tmp_path / str(is_clean), config=ONE_SEGMENT)
        rows = stage.write(10, is_clean=True)
        with stage.file().open("ab") as file:
            file.write(bytes(100_000))
        log = stage.open(is_clean=is_clean)
        assert (rows_of(log), log.cut_bytes) == (rows, 0)
        log.close()
        assert stage.file().stat().st_size < 100_000


def test_short_segment_is_recovered_without_index_files(tmp_path: Path) -> None:
    stage = LogStage(tmp_path, config=LogConfig(index_interval_bytes=1024))
    rows = stage.write(3, is_clean=False)
    log = stage.open()
    assert [name for name in stage.names() if name.endswith("index")] == []
    assert [_first_row(log, offset) for offset in range(6)] == rows
    found = log.find_offset_by_timestamp(stage.clock.now_ms())
    assert found is not None
    assert found.offset == 0
    while log.log_end_offset < 40:
        log.append_as_leader(make_batch([bytes(40)]), leader_epoch=1)
    assert stage.file(".index").stat().st_size > 0
    assert rows_of(log)[:6] == rows
    log.close()
