"""One `partition.metadata` for all new partitions of a topic, and a file for each where needed."""

import errno
import os
from pathlib import Path
from unittest import mock

import pytest

from headrace.core.checkpoint_file import read_partition_metadata, write_partition_metadata
from headrace.core.new_metadata import NewMetadata

ONE, TWO = bytes(range(1, 17)), bytes(range(2, 18))


def make(metadata: NewMetadata, folder: Path, topic_id: bytes) -> Path:
    folder.mkdir(parents=True)
    metadata.write(folder, topic_id)
    return folder / "partition.metadata"


def test_partitions_of_a_topic_share_a_file_in_each_log_dir(tmp_path: Path) -> None:
    metadata = NewMetadata()
    files = [
        make(metadata, tmp_path / log_dir / f"one-{index}", ONE)
        for log_dir in "ab"
        for index in range(5)
    ]
    assert [file.stat().st_nlink for file in files] == [5] * 10
    assert len({file.stat().st_ino for file in files}) == 2
    other = make(metadata, tmp_path / "a" / "two-0", TWO)
    assert other.stat().st_nlink == 1
    assert {read_partition_metadata(file.parent) for file in files} == {ONE}
    assert read_partition_metadata(other.parent) == TWO


def test_what_is_changed_or_deleted_is_one_partition_s(tmp_path: Path) -> None:
    metadata = NewMetadata()
    first, second, third = (make(metadata, tmp_path / f"one-{index}", ONE) for index in range(3))
    write_partition_metadata(first.parent, TWO)
    second.unlink()
    assert read_partition_metadata(first.parent) == TWO
    assert read_partition_metadata(third.parent) == ONE
    # The first one's name stands for another topic's file now: it is not linked.
    assert read_partition_metadata(make(metadata, tmp_path / "one-3", ONE).parent) == ONE


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOENT])
def test_where_there_are_no_links_each_has_its_own(tmp_path: Path, code: int) -> None:
    metadata = NewMetadata()
    make(metadata, tmp_path / "one-0", ONE)
    with mock.patch.object(os, "link", side_effect=OSError(code, "no link")):
        file = make(metadata, tmp_path / "one-1", ONE)
    assert file.stat().st_nlink == 1
    assert read_partition_metadata(file.parent) == ONE
    assert make(metadata, tmp_path / "one-2", ONE).stat().st_ino == file.stat().st_ino


def test_a_failing_disk_is_not_taken_for_one_without_links(tmp_path: Path) -> None:
    metadata = NewMetadata()
    make(metadata, tmp_path / "one-0", ONE)
    with (
        mock.patch.object(os, "link", side_effect=OSError(errno.EIO, "broken")),
        pytest.raises(OSError, match="broken"),
    ):
        make(metadata, tmp_path / "one-1", ONE)
