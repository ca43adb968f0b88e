"""All logs of a node: opening, creating, deleting, checkpoints, failing disks."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace.core.checkpoint_file import read_offset_checkpoint, read_partition_metadata
from headrace.core.errors import (
    InconsistentLogDirError,
    KafkaStorageError,
    LogCorruptedError,
    LogDirLockedError,
)
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.log_manager import LogManager
from headrace.core.worker import InlineWorker
from tests.support.batches import make_batch
from tests.support.held_worker import HeldWorker
from tests.support.manual_clock import ManualClock

TOPIC_ID = bytes(range(16))
OTHER_ID = bytes(range(1, 17))


def new_manager(*folders: Path, clock: ManualClock | None = None, **arguments: Any) -> LogManager:
    return LogManager(folders, clock=clock or ManualClock(), worker=InlineWorker(), **arguments)


def started(*folders: Path, **arguments: Any) -> LogManager:
    manager = new_manager(*folders, **arguments)
    manager.start()
    return manager


def create(manager: LogManager, topic: str, partition: int = 0, **settings: Any) -> Log:
    return manager.get_or_create_log(
        topic, partition, topic_id=TOPIC_ID, config=LogConfig(**settings)
    )


def append(log: Log, *values: bytes) -> None:
    for value in values:
        log.append_as_leader(make_batch([(b"key", value)]), leader_epoch=0)


def folder_names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if each.is_dir())


def test_log_is_found_again_after_a_clean_stop(tmp_path: Path) -> None:
    manager = started(tmp_path)
    log = create(manager, "clicks", 3)
    append(log, b"1", b"2", b"3")
    log.update_high_watermark(2)
    manager.close()
    assert (tmp_path / ".kafka_cleanshutdown").exists()

    again = started(tmp_path)
    assert again.was_clean
    assert not (tmp_path / ".kafka_cleanshutdown").exists()
    found = again.get_log("clicks", 3)
    assert found is not None
    assert (found.log_end_offset, found.high_watermark, found.recovery_point) == (3, 2, 3)
    assert found.topic_id == TOPIC_ID
    assert again.log_dir_of(found) == tmp_path
    assert again.get_log("clicks", 4) is None
    again.close()


def test_crash_leaves_no_marker_and_loses_nothing_written(tmp_path: Path) -> None:
    manager = started(tmp_path)
    append(create(manager, "clicks"), b"1", b"2")
    manager.checkpoint_recovery_points()
    manager.close(clean=False)
    assert not (tmp_path / ".kafka_cleanshutdown").exists()
    again = started(tmp_path)
    assert not again.was_clean
    log = again.get_log("clicks", 0)
    assert log is not None
    assert log.log_end_offset == 2
    again.close()


def test_second_manager_is_refused_and_takes_nothing(tmp_path: Path) -> None:
    manager = started(tmp_path / "a")
    with pytest.raises(LogDirLockedError):
        started(tmp_path / "b", tmp_path / "a")
    manager.close()
    started(tmp_path / "b").close()


def test_new_logs_go_where_the_fewest_are(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    manager = started(first, second)
    for partition in range(6):
        create(manager, "clicks", partition)
    assert len(folder_names(first)) == len(folder_names(second)) == 3
    manager.close()
    again = started(first, second)
    assert len(again.logs()) == 6
    again.close()


def test_partition_metadata_ties_the_folder_to_its_topic(tmp_path: Path) -> None:
    manager = started(tmp_path)
    create(manager, "clicks")
    assert read_partition_metadata(tmp_path / "clicks-0") == TOPIC_ID
    manager.close()
    again = started(tmp_path)
    with pytest.raises(InconsistentLogDirError, match="holds the topic id"):
        again.get_or_create_log("clicks", 0, topic_id=OTHER_ID, config=LogConfig())
    again.close()


def test_new_partitions_of_a_topic_share_one_file_for_its_id(tmp_path: Path) -> None:
    manager = started(tmp_path)
    for partition in range(3):
        create(manager, "clicks", partition)
    links = [
        (tmp_path / f"clicks-{partition}" / "partition.metadata").stat().st_nlink
        for partition in range(3)
    ]
    assert links == [3, 3, 3]
    manager.close()


def test_folder_without_topic_id_gets_the_one_it_is_asked_for_with(tmp_path: Path) -> None:
    manager = started(tmp_path)
    append(create(manager, "clicks"), b"1")
    manager.close()
    (tmp_path / "clicks-0" / "partition.metadata").unlink()
    again = started(tmp_path)
    log = create(again, "clicks")
    assert log.topic_id == TOPIC_ID
    assert log.log_end_offset == 1
    assert read_partition_metadata(tmp_path / "clicks-0") == TOPIC_ID
    again.close()


def test_known_log_takes_new_settings(tmp_path: Path) -> None:
    manager = started(tmp_path)
    log = create(manager, "clicks")
    assert create(manager, "clicks", retention_ms=5) is log
    assert log.config.retention_ms == 5
    manager.close()


def test_deleted_log_is_gone_at_once_and_its_files_after_the_delay(tmp_path: Path) -> None:
    clock = ManualClock()
    manager = started(tmp_path, clock=clock)
    append(create(manager, "clicks", file_delete_delay_ms=1000), b"1")
    manager.delete_log("clicks", 0)
    assert manager.get_log("clicks", 0) is None
    (name,) = folder_names(tmp_path)
    assert name.startswith("clicks-0.")
    assert name.endswith("-delete")
    clock.advance(999)
    manager.delete_due_folders()
    assert folder_names(tmp_path) == [name]
    clock.advance(1)
    manager.delete_due_folders()
    assert folder_names(tmp_path) == []
    manager.delete_log("clicks", 0)
    manager.close()


def test_deleted_folders_of_the_last_run_are_removed_at_the_start(tmp_path: Path) -> None:
    manager = started(tmp_path)
    append(create(manager, "clicks"), b"1")
    manager.delete_log("clicks", 0)
    manager.close()
    assert len(folder_names(tmp_path)) == 1
    again = started(tmp_path)
    assert folder_names(tmp_path) == []
    assert again.logs() == []
    again.close()


def test_topic_made_anew_does_not_inherit_the_old_ones_checkpoints(tmp_path: Path) -> None:
    manager = started(tmp_path)
    log = create(manager, "clicks", file_delete_delay_ms=0)
    append(log, *[b"x"] * 10)
    log.flush()
    manager.checkpoint_recovery_points()
    recovery_points = tmp_path / "recovery-point-offset-checkpoint"
    assert read_offset_checkpoint(recovery_points) == {("clicks", 0): 10}
    manager.delete_log("clicks", 0)
    manager.get_or_create_log("clicks", 0, topic_id=OTHER_ID, config=LogConfig())
    assert read_offset_checkpoint(recovery_points) == {}
    manager.close()


def test_checkpoint_that_waits_on_the_worker_does_not_follow_the_last_one(tmp_path: Path) -> None:
    worker = HeldWorker()
    manager = LogManager([tmp_path], clock=ManualClock(), worker=worker)
    manager.start()
    log = create(manager, "clicks")
    append(log, b"1", b"2")
    manager.checkpoint_high_watermarks()
    log.update_high_watermark(2)
    manager.close()
    worker.run_all()
    path = tmp_path / "replication-offset-checkpoint"
    assert read_offset_checkpoint(path) == {("clicks", 0): 2}


def test_topic_deleted_before_its_folder_was_synced_leaves_the_folder_online(
    tmp_path: Path,
) -> None:
    worker = HeldWorker()
    manager = LogManager([tmp_path], clock=ManualClock(), worker=worker)
    manager.start()
    create(manager, "clicks")
    create(manager, "orders")
    manager.delete_log("clicks", 0)
    worker.run_all()
    assert manager.offline_dirs == []
    create(manager, "clicks")
    worker.run_all()
    manager.close()


def test_everyone_who_waits_for_a_flush_hears_that_the_topic_was_deleted(tmp_path: Path) -> None:
    worker = HeldWorker()
    manager = LogManager([tmp_path], clock=ManualClock(), worker=worker)
    manager.start()
    log = create(manager, "clicks", file_delete_delay_ms=0)
    heard: list[object] = []
    append(log, b"1")
    log.flush_async(heard.append, heard.append)
    append(log, b"2")
    log.flush_async(heard.append, heard.append)
    manager.delete_log("clicks", 0)
    worker.run_all()
    assert len(heard) == 2
    assert isinstance(heard[1], Exception)
    assert manager.offline_dirs == []
    manager.close()


def test_log_start_is_checkpointed_only_where_segments_do_not_tell_it(tmp_path: Path) -> None:
    manager = started(tmp_path)
    log = create(manager, "clicks")
    append(log, b"1", b"2", b"3")
    log.update_high_watermark(3)
    create(manager, "orders")
    manager.checkpoint_log_start_offsets()
    path = tmp_path / "log-start-offset-checkpoint"
    assert read_offset_checkpoint(path) == {}
    log.increment_log_start_offset(2)
    manager.checkpoint_log_start_offsets()
    assert read_offset_checkpoint(path) == {("clicks", 0): 2}
    manager.close()
    again = started(tmp_path)
    found = again.get_log("clicks", 0)
    assert found is not None
    assert found.log_start_offset == 2
    again.close()


def test_log_corrupt_in_its_middle_stays_offline_alone(tmp_path: Path) -> None:
    manager = started(tmp_path)
    append(create(manager, "bad"), *[b"x" * 100] * 20)
    append(create(manager, "good"), b"1")
    manager.close()
    (tmp_path / ".kafka_cleanshutdown").unlink()
    (tmp_path / "recovery-point-offset-checkpoint").unlink()
    segment = tmp_path / "bad-0" / f"{0:020d}.log"
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)

    again = started(tmp_path)
    assert [log.topic for log in again.logs()] == ["good"]
    assert list(again.offline_logs) == [("bad", 0)]
    with pytest.raises(LogCorruptedError):
        create(again, "bad")
    again.close()
    # Without a marker the next start looks again, and does not take the bytes for sound.
    assert not (tmp_path / ".kafka_cleanshutdown").exists()
    third = started(tmp_path)
    assert list(third.offline_logs) == [("bad", 0)]
    third.delete_log("bad", 0)
    assert folder_names(tmp_path) == ["good-0"]
    assert create(third, "bad").log_end_offset == 0
    third.close()


def test_same_partition_in_two_folders_is_refused_without_harm(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    manager = started(first, second)
    append(create(manager, "clicks"), b"1")
    manager.close()
    shutil.copytree(first / "clicks-0", second / "clicks-0")
    with pytest.raises(InconsistentLogDirError, match="hold the same partition"):
        started(first, second)
    shutil.rmtree(second / "clicks-0")
    again = started(first, second)
    assert again.was_clean
    assert len(again.logs()) == 1
    again.close()


def test_folder_that_cannot_be_used_goes_offline_and_the_others_serve(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    manager = new_manager(blocked, tmp_path / "good")
    told: list[Path] = []
    manager.on_dir_offline = told.append
    manager.start()
    assert manager.offline_dirs == told == [blocked]
    append(create(manager, "clicks"), b"1")
    assert folder_names(tmp_path / "good") == ["clicks-0"]
    manager.close()


def test_log_that_may_be_in_an_offline_folder_is_not_made_anew(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    manager = started(first, second)
    kept, lost = create(manager, "kept"), create(manager, "lost")
    append(lost, b"1")
    away = manager.log_dir_of(lost)
    assert away != manager.log_dir_of(kept)
    manager.close()
    away.rename(tmp_path / "away")
    away.touch()
    again = started(first, second)

    def get(topic: str, *, is_new: bool) -> Log:
        return again.get_or_create_log(
            topic, 0, topic_id=TOPIC_ID, config=LogConfig(), is_new=is_new
        )

    assert get("kept", is_new=False).path == kept.path
    with pytest.raises(KafkaStorageError, match="lost-0 may be there"):
        get("lost", is_new=False)
    get("new", is_new=True)
    assert again.delete_log("new", 0) is True
    assert again.delete_log("lost", 0) is False
    again.close()
    away.unlink()
    (tmp_path / "away").rename(away)
    third = started(first, second)
    found = third.get_log("lost", 0)
    assert found is not None
    assert found.log_end_offset == 1
    assert third.delete_log("lost", 0) is True
    third.close()


def test_start_without_any_usable_folder_names_the_first(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(KafkaStorageError, match=r"no folder of log\.dirs works"):
        started(blocked)


def test_topic_made_anew_while_its_folder_was_away_is_the_one_that_is_served(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    manager = started(first, second)
    old = create(manager, "clicks")
    append(old, b"old")
    home = manager.log_dir_of(old)
    manager.close()
    home.rename(tmp_path / "away")
    home.touch()
    os.utime(tmp_path / "away" / "clicks-0" / "partition.metadata", (1, 1))
    manager = started(first, second)
    assert manager.delete_log("clicks", 0) is False
    manager.get_or_create_log("clicks", 0, topic_id=OTHER_ID, config=LogConfig())
    manager.close()
    home.unlink()
    (tmp_path / "away").rename(home)
    for _ in range(2):
        manager = started(first, second)
        found = manager.get_log("clicks", 0)
        assert found is not None
        assert (found.topic_id, found.log_end_offset) == (OTHER_ID, 0)
        (stray,) = home.glob("*-stray")
        assert list(stray.glob("*.log"))
        manager.close()


def test_two_folders_of_one_topic_are_nobodys_to_choose_from(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    manager = started(first, second)
    log = create(manager, "clicks")
    (other,) = {first, second} - {manager.log_dir_of(log)}
    manager.close()
    shutil.copytree(log.path, other / log.path.name)
    with pytest.raises(InconsistentLogDirError, match="hold the same partition"):
        started(first, second)


def test_log_whose_folder_is_gone_is_offline_alone(tmp_path: Path) -> None:
    manager = started(tmp_path)
    gone = create(manager, "gone", segment_bytes=2000)
    kept = create(manager, "kept")
    told: list[Path] = []
    manager.on_dir_offline = told.append
    shutil.rmtree(gone.path)
    with pytest.raises(KafkaStorageError):
        append(gone, *[bytes(500)] * 5)
    assert told == [gone.path]
    assert gone.is_offline
    assert manager.offline_dirs == []
    append(kept, b"1")
    manager.close()


def test_failed_disk_takes_its_folder_offline_and_leaves_no_marker(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    manager = started(first, second)
    logs = [create(manager, "clicks", partition) for partition in range(2)]
    told: list[Path] = []
    manager.on_dir_offline = told.append
    failing = logs[0]
    assert failing.on_storage_failure is not None
    failing.on_storage_failure(failing.path, OSError(errno.EIO, "input/output error"))
    failing.on_storage_failure(failing.path, OSError(errno.EIO, "input/output error"))
    assert told == manager.offline_dirs == [manager.log_dir_of(failing)]
    create(manager, "clicks", 2)
    manager.checkpoint_recovery_points()
    manager.close()
    assert not (told[0] / ".kafka_cleanshutdown").exists()
    assert not (told[0] / "recovery-point-offset-checkpoint").exists()
    (other,) = {first, second} - set(told)
    assert (other / ".kafka_cleanshutdown").exists()


def test_full_disk_does_not_take_the_folder_offline(tmp_path: Path) -> None:
    manager = started(tmp_path)
    log = create(manager, "clicks")
    assert log.on_storage_failure is not None
    log.on_storage_failure(log.path, OSError(errno.ENOSPC, "no space left"))
    assert manager.offline_dirs == []
    manager.close()


def names_of_other_things(path: Path) -> Sequence[str]:
    return ("lost+found", "__headrace_raft", "__cluster_metadata-0", "notes")


def test_what_is_no_log_is_left_alone(tmp_path: Path) -> None:
    for name in names_of_other_things(tmp_path):
        (tmp_path / name).mkdir()
    manager = started(tmp_path)
    assert manager.logs() == []
    manager.close()
    assert folder_names(tmp_path) == sorted(names_of_other_things(tmp_path))


def test_new_log_is_made_without_a_look_for_what_cannot_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = started(tmp_path)
    looks: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", looks.append)
        patched.setattr(Path, "read_bytes", looks.append)
        log = create(manager, "clicks")
    assert looks == []
    assert (log.topic_id, log.log_end_offset, log.recovery_point) == (TOPIC_ID, 0, 0)
    append(log, b"1")
    manager.close()
    again = started(tmp_path).get_log("clicks", 0)
    assert again is not None
    assert (again.topic_id, again.log_end_offset) == (TOPIC_ID, 1)


def test_logs_made_together_sync_their_names_once(tmp_path: Path) -> None:
    worker = HeldWorker()
    manager = LogManager([tmp_path], clock=ManualClock(), worker=worker)
    manager.start()
    worker.run_all()
    with manager.creating_together():
        for partition in range(5):
            create(manager, "clicks", partition)
        assert not worker.run_next()
    assert [worker.run_next(), worker.run_next()] == [True, True]  # names, and a checkpoint of them
    assert not worker.run_next()
    assert set(read_offset_checkpoint(tmp_path / "replication-offset-checkpoint")) == {
        ("clicks", partition) for partition in range(5)
    }
    create(manager, "clicks", 5)
    create(manager, "clicks", 6)
    assert [worker.run_next(), worker.run_next()] == [True, True]
    assert not worker.run_next()
    manager.close()


def test_empty_logs_have_no_index_files_whichever_way_they_stop(tmp_path: Path) -> None:
    expected = ["00000000000000000000.log", "partition.metadata"]
    manager = started(tmp_path)
    log = create(manager, "clicks")
    for is_clean in (True, False, True):
        assert sorted(each.name for each in log.path.iterdir()) == expected
        manager.close(clean=is_clean)
        manager = started(tmp_path)
        found = manager.get_log("clicks", 0)
        assert found is not None
        log = found
    append(log, b"1", b"2")
    assert log.path.joinpath("00000000000000000000.index").exists()
    manager.close()
