"""Whether there is room for new logs: looked at on any thread, settled on that of the logs."""

import errno
import os
from pathlib import Path

import pytest

from headrace.core import checkpoint_file, room_check
from headrace.core.errors import KafkaStorageError
from headrace.core.log_dir import LogDir
from headrace.core.log_dirs import LogDirs
from headrace.core.room_check import RoomCheck


class Stage:
    """Two folders, and what each says when room is reserved in it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = [tmp_path / "one", tmp_path / "two"]
        self.codes: dict[Path, int] = {}
        self.asked: list[tuple[Path, int]] = []
        self.offline: list[LogDir] = []
        self.dirs = LogDirs(self.paths, self.offline.append, lambda _path: None)
        monkeypatch.setattr(room_check, "check_room", self._reserve)

    def _reserve(self, folder: Path, size_bytes: int) -> None:
        self.asked.append((folder, size_bytes))
        if folder in self.codes:
            raise OSError(self.codes[folder], os.strerror(self.codes[folder]))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_one_folder_with_room_is_enough(stage: Stage) -> None:
    RoomCheck(stage.dirs, 3).look().settle()
    assert stage.asked == [(stage.paths[0], 3 * 16 * 1024)]
    stage.codes = {stage.paths[0]: errno.ENOSPC}
    RoomCheck(stage.dirs, 1).look().settle()
    assert stage.asked[-1][0] == stage.paths[1]
    assert stage.offline == []


def test_no_room_anywhere_is_said_and_takes_nothing_offline(stage: Stage) -> None:
    stage.codes = dict.fromkeys(stage.paths, errno.ENOSPC)
    check = RoomCheck(stage.dirs, 1).look()
    with pytest.raises(KafkaStorageError, match="No space left"):
        check.settle()
    assert stage.offline == []


def test_a_folder_that_fails_goes_offline_where_it_is_settled_and_not_where_it_is_looked_at(
    stage: Stage,
) -> None:
    stage.codes = {stage.paths[0]: errno.EIO}
    check = RoomCheck(stage.dirs, 1).look()
    assert stage.offline == []
    check.settle()
    assert [log_dir.path for log_dir in stage.offline] == [stage.paths[0]]


def test_looks_at_the_same_time_do_not_take_each_other_for_a_failing_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = os.posix_fallocate

    def reserve_beside_another(descriptor: int, offset: int, size_bytes: int) -> None:
        monkeypatch.setattr(os, "posix_fallocate", reserve)
        checkpoint_file.check_room(tmp_path, size_bytes)
        reserve(descriptor, offset, size_bytes)

    monkeypatch.setattr(os, "posix_fallocate", reserve_beside_another)
    checkpoint_file.check_room(tmp_path, 4096)
    assert list(tmp_path.iterdir()) == []
