"""Checkpoint files: Kafka's bytes, atomic replacement, clear errors on junk."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.checkpoint_file import (
    CheckpointFormatError,
    PropertiesFile,
    read_epoch_checkpoint,
    read_offset_checkpoint,
    read_partition_metadata,
    replace_file,
    write_epoch_checkpoint,
    write_new_partition_metadata,
    write_offset_checkpoint,
    write_partition_metadata,
)


def test_offset_checkpoint_is_written_as_kafka_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "recovery-point-offset-checkpoint"
    write_offset_checkpoint(path, {("orders", 1): 7, ("clicks", 0): 42})
    assert path.read_bytes() == b"0\n2\nclicks 0 42\norders 1 7\n"
    assert read_offset_checkpoint(path) == {("clicks", 0): 42, ("orders", 1): 7}


def test_epoch_checkpoint_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "leader-epoch-checkpoint"
    write_epoch_checkpoint(path, [(0, 0), (3, 120)])
    assert path.read_bytes() == b"0\n2\n0 0\n3 120\n"
    assert read_epoch_checkpoint(path) == [(0, 0), (3, 120)]


def test_missing_checkpoint_reads_as_nothing(tmp_path: Path) -> None:
    assert read_offset_checkpoint(tmp_path / "none") == {}
    assert read_epoch_checkpoint(tmp_path / "none") == []
    assert PropertiesFile(tmp_path / "none").read() is None
    assert read_partition_metadata(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 1, "missing"),
        (b"1\n0\n", 1, "version 1 is unknown"),
        (b"zero\n0\n", 1, "'zero' is no number"),
        (b"0\n2\nclicks 0 42\n", 2, "2 entries announced, 1 found"),
        (b"0\n1\nclicks 0\n", 3, "has not 3 fields"),
        (b"0\n1\nclicks 0 4x\n", 3, "'4x' is no number"),
        (b"0\n1\nclicks 0 \xff\n", 3, "no text in UTF-8"),
        (b"0\n1\nclicks 0 \xd9\xa1\n", 3, "is no number"),
    ],
)
def test_damaged_checkpoint_names_file_line_and_reason(
    tmp_path: Path, content: bytes, line: int, reason: str
) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(content)
    with pytest.raises(CheckpointFormatError, match=reason) as caught:
        read_offset_checkpoint(path)
    assert caught.value.line_number == line
    assert str(path) in str(caught.value)


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_the_documented_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / "partition.metadata").write_bytes(content)
    path = folder / "partition.metadata"
    for read in (
        lambda: read_offset_checkpoint(path),
        lambda: read_epoch_checkpoint(path),
        lambda: PropertiesFile(path).read(),
        lambda: read_partition_metadata(folder),
    ):
        try:
            read()
        except CheckpointFormatError:
            continue


def test_replacing_fails_whole_and_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint"
    replace_file(path, b"old")

    def failing_sync(descriptor: int) -> None:
        raise OSError(5, "no sync")

    monkeypatch.setattr(os, "fsync", failing_sync)
    with pytest.raises(OSError, match="no sync"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_properties_are_read_as_java_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "meta.properties"
    path.write_text("#\n#Mon Nov 24 10:00:00 UTC 2025\ncluster.id=x\\:y\nnode.id = 3\nversion:1\n")
    assert PropertiesFile(path).read() == {"cluster.id": "x:y", "node.id": "3", "version": "1"}


def test_properties_line_without_separator_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "meta.properties"
    path.write_text("version=1\nnonsense\n")
    with pytest.raises(CheckpointFormatError, match="line 2"):
        PropertiesFile(path).read()


words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1)


@given(st.dictionaries(words.filter(lambda key: key[0] not in "#!"), words))
def test_properties_survive_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]
) -> None:
    properties = PropertiesFile(tmp_path_factory.mktemp("properties") / "meta.properties")
    properties.write(values)
    assert properties.read() == values


def test_partition_metadata_is_written_as_kafka_writes_it(tmp_path: Path) -> None:
    topic_id = bytes(range(16))
    write_partition_metadata(tmp_path, topic_id)
    text = (tmp_path / "partition.metadata").read_text()
    assert text == "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw"
    assert read_partition_metadata(tmp_path) == topic_id


def test_partition_metadata_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "partition.metadata").write_text("version: 9\ntopic_id: AAECAwQFBgcICQoLDA0ODw")
    with pytest.raises(CheckpointFormatError, match="version 9 is unknown"):
        read_partition_metadata(tmp_path)


def test_metadata_of_a_new_folder_reads_as_any_and_replaces_nothing(tmp_path: Path) -> None:
    topic_id = bytes(range(1, 17))
    write_new_partition_metadata(tmp_path, topic_id)
    written = (tmp_path / "partition.metadata").read_bytes()
    assert read_partition_metadata(tmp_path) == topic_id
    with pytest.raises(FileExistsError):
        write_new_partition_metadata(tmp_path, bytes(16))
    write_partition_metadata(tmp_path, topic_id)
    assert (tmp_path / "partition.metadata").read_bytes() == written
