"""A log that was here and is not, or not whole, is told from one that was never made."""

import shutil
from pathlib import Path

import pytest

from headrace.core.errors import LogLostError
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.log_manager import LogManager
from tests.core.test_log_manager import TOPIC_ID, append, create, started

SEGMENT = "0" * 20 + ".log"


def opened(manager: LogManager, topic: str, *, accepts: bool) -> Log:
    return manager.get_or_create_log(
        topic,
        0,
        topic_id=TOPIC_ID,
        config=LogConfig(),
        is_new=False,
        accepts_loss=accepts,
        accepts_short=accepts,
    )


def left(*folders: Path) -> None:
    """Two logs of three records, all committed."""
    manager = started(*folders)
    for topic in ("clicks", "views"):
        log = create(manager, topic)
        append(log, b"1", b"2", b"3")
        log.update_high_watermark(3)
    manager.checkpoint_high_watermarks()
    manager.close()


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_folder_that_is_gone_is_missed_at_every_start_until_its_loss_is_accepted(
    tmp_path: Path, is_clean: bool
) -> None:
    left(tmp_path)
    shutil.rmtree(tmp_path / "clicks-0")
    for _ in range(3):
        manager = started(tmp_path)
        with pytest.raises(LogLostError, match="clicks-0 has lost records: its folder is gone"):
            opened(manager, "clicks", accepts=False)
        assert not (tmp_path / "clicks-0").exists()
        assert opened(manager, "views", accepts=False).log_end_offset == 3
        assert opened(manager, "fresh", accepts=False).log_end_offset == 0
        manager.checkpoint_recovery_points()
        manager.checkpoint_high_watermarks()
        manager.close(clean=is_clean)
    manager = started(tmp_path)
    assert opened(manager, "clicks", accepts=True).log_end_offset == 0
    manager.close()
    assert opened(started(tmp_path), "clicks", accepts=False).log_end_offset == 0


def test_a_loss_that_is_accepted_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    manager = started(one, other)
    for topic in ("clicks", "views"):
        create(manager, topic)
    manager.close()
    (gone,) = {"clicks", "views"} - {path.name[:-2] for path in one.glob("*-0")}
    shutil.rmtree(other)  # a disk that is not mounted: an empty folder is made in its place
    manager = started(one, other)
    opened(manager, gone, accepts=True)
    manager.get_or_create_log("fresh", 0, topic_id=TOPIC_ID, config=LogConfig())
    manager.close()
    (said,) = [each.message for each in caplog.records if "begins empty" in each.message]
    assert said.startswith(f"the log of {gone}-0 has lost records")


def test_a_log_is_missed_from_its_first_moment_on(tmp_path: Path) -> None:
    manager = started(tmp_path)
    append(create(manager, "clicks"), b"1")
    manager.close(clean=False)  # killed before the first checkpoint was due
    shutil.rmtree(tmp_path / "clicks-0")
    with pytest.raises(LogLostError, match="its folder is gone"):
        opened(started(tmp_path), "clicks", accepts=False)


def test_a_log_that_is_shorter_than_what_was_committed_is_told_until_that_is_accepted(
    tmp_path: Path,
) -> None:
    left(tmp_path)
    for name in (SEGMENT, SEGMENT.replace(".log", ".index")):
        (tmp_path / "clicks-0" / name).write_bytes(b"")
    (tmp_path / ".kafka_cleanshutdown").unlink()
    for _ in range(3):
        manager = started(tmp_path)
        with pytest.raises(LogLostError, match="ends at offset 0, and what is before 3"):
            opened(manager, "clicks", accepts=False)
        manager.checkpoint_high_watermarks()
        manager.close(clean=False)
    manager = started(tmp_path)
    log = opened(manager, "clicks", accepts=True)
    append(log, b"1")
    log.update_high_watermark(1)
    manager.checkpoint_high_watermarks()
    manager.close()
    assert opened(started(tmp_path), "clicks", accepts=False).log_end_offset == 1


def test_a_folder_of_log_dirs_that_was_replaced_is_missed_with_what_it_held(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    left(first, second)
    lost = next(topic for topic in ("clicks", "views") if (second / f"{topic}-0").exists())
    kept = {"clicks": "views", "views": "clicks"}[lost]
    shutil.rmtree(second)
    for _ in range(2):
        manager = started(first, second)
        with pytest.raises(LogLostError, match="one that this broker had before is gone"):
            opened(manager, lost, accepts=False)
        assert opened(manager, kept, accepts=False).log_end_offset == 3
        manager.close()


def test_a_deleted_log_is_not_missed(tmp_path: Path) -> None:
    manager = started(tmp_path)
    create(manager, "clicks")
    manager.checkpoint_high_watermarks()
    manager.delete_log("clicks", 0)
    manager.delete_due_folders()
    manager.close()
    assert opened(started(tmp_path), "clicks", accepts=False).log_end_offset == 0
