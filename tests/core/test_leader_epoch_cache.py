"""Leader epochs: which offset belongs to which, and what survives a restart."""

from pathlib import Path

from headrace.core.leader_epoch_cache import LeaderEpochCache
from tests.support.log_stage import SMALL_SEGMENTS, LogStage, make_batch


def make_cache(folder: Path) -> LeaderEpochCache:
    cache = LeaderEpochCache(folder)
    for epoch, start_offset in ((1, 0), (3, 10), (7, 25)):
        cache.assign(epoch, start_offset)
    return cache


def test_end_of_an_epoch_is_where_the_next_known_one_begins(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    assert cache.end_offset_for(1, 40) == (1, 10)
    assert cache.end_offset_for(2, 40) == (1, 10)
    assert cache.end_offset_for(3, 40) == (3, 25)
    assert cache.end_offset_for(7, 40) == (7, 40)
    assert cache.end_offset_for(8, 40) == (-1, -1)
    assert cache.end_offset_for(-1, 40) == (-1, -1)
    assert cache.end_offset_for(0, 40) == (0, 0)


def test_epoch_of_an_offset(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    assert [cache.epoch_at(offset) for offset in (-1, 0, 9, 10, 24, 25, 99)] == [
        -1, 1, 1, 3, 3, 7, 7,
    ]  # fmt: skip


def test_older_epoch_changes_nothing_and_an_empty_one_is_replaced(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    cache.assign(3, 30)
    cache.assign(9, 25)
    assert cache.entries == [(1, 0), (3, 10), (9, 25)]
    assert cache.latest_epoch == 9


def test_truncation_from_both_ends_is_kept_on_disk(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    cache.truncate_from_end(25)
    cache.truncate_from_start(4)
    again = LeaderEpochCache(tmp_path)
    assert again.load()
    assert again.entries == [(1, 4), (3, 10)]


def test_file_that_cannot_be_true_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "leader-epoch-checkpoint"
    for text in ("0\n2\n3 10\n1 20\n", "0\n2\n1 20\n3 10\n", "0\n5\n1 1\n", "junk"):
        path.write_text(text)
        assert not LeaderEpochCache(tmp_path).load()


def test_lost_or_damaged_file_is_rebuilt_from_the_batches(tmp_path: Path) -> None:
    stage = LogStage(tmp_path, config=SMALL_SEGMENTS)
    log = stage.open(is_clean=True)
    for epoch in (2, 5, 6):
        for _ in range(30):
            log.append_as_leader(make_batch([b"v" * 40]), leader_epoch=epoch)
    log.close()
    path = stage.folder / "leader-epoch-checkpoint"
    for damage in (None, "junk", ""):
        for is_clean in (True, False):
            path.unlink()
            if damage is not None:
                path.write_text(damage)
            log = stage.open(is_clean=is_clean, recovery_point=90)
            assert [log.end_offset_for_epoch(epoch) for epoch in (2, 5, 6)] == [
                (2, 30),
                (5, 60),
                (6, 90),
            ]
            log.close()


def test_truncated_log_forgets_the_epochs_behind_its_end(tmp_path: Path) -> None:
    stage = LogStage(tmp_path)
    log = stage.open(is_clean=True)
    for epoch in (1, 2, 3):
        log.append_as_leader(make_batch([b"v"]), leader_epoch=epoch)
    log.truncate_to(2)
    assert (log.latest_epoch, log.end_offset_for_epoch(2)) == (2, (2, 2))
    log.assign_epoch(4, 2)
    assert log.end_offset_for_epoch(2) == (2, 2)
    log.close()


def test_log_cut_at_its_end_forgets_an_epoch_that_wrote_nothing(tmp_path: Path) -> None:
    stage = LogStage(tmp_path)
    log = stage.open(is_clean=True)
    log.append_as_leader(make_batch([b"v"]), leader_epoch=1)
    log.assign_epoch(4, log.log_end_offset)  # as an append does, which may be refused then
    log.truncate_to(log.log_end_offset)
    assert (log.latest_epoch, log.log_end_offset) == (1, 1)
    log.close()
    log = stage.open(is_clean=True)
    assert (log.latest_epoch, log.log_end_offset) == (1, 1)
    log.close()
