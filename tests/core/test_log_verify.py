"""A sound folder has no findings; each kind of damage has its own, with its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.core.checkpoint_file import write_epoch_checkpoint, write_partition_metadata
from headrace.core.log_verify import Finding, verify_log_dir
from tests.support.batches import make_batch
from tests.support.log_folders import write_sample_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sample_folder(tmp_path)


def findings(path: Path) -> list[Finding]:
    return list(verify_log_dir(path))


def first_log(folder: Path) -> Path:
    return min(folder.glob("*.log"))


def last_log(folder: Path) -> Path:
    return max(folder.glob("*.log"))


def flip_byte(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x01
    path.write_bytes(content)


def test_sound_folder_has_no_findings(folder: Path) -> None:
    assert findings(folder) == []
    assert findings(folder.parent) == []


def test_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        findings(tmp_path / "none")


def test_reserved_tail_is_sound(folder: Path) -> None:
    with last_log(folder).open("ab") as file:
        file.write(bytes(4096))
    assert findings(folder) == []


def test_torn_tail_is_a_warning_at_the_end_and_an_error_before_it(folder: Path) -> None:
    torn = make_batch([(b"a", b"b")])[:65]
    end = last_log(folder).stat().st_size
    with last_log(folder).open("ab") as file:
        file.write(torn)
    (found,) = findings(folder)
    assert (found.severity, found.path, found.position) == ("warning", last_log(folder), end)
    with first_log(folder).open("ab") as file:
        file.write(torn)
    assert [each.severity for each in findings(folder)] == ["error", "warning"]


def test_changed_byte_is_found_with_its_batch(folder: Path) -> None:
    flip_byte(first_log(folder), 100)
    found = findings(folder.parent)
    assert [(each.severity, each.position) for each in found if "CRC" in each.reason] == [
        ("error", 0)
    ]


def test_leader_epoch_that_goes_back_is_found(folder: Path) -> None:
    flip_byte(last_log(folder), 12)
    assert any("leader epoch" in each.reason for each in findings(folder))


def test_offsets_that_go_back_are_found(folder: Path) -> None:
    batch = last_log(folder).read_bytes()
    with last_log(folder).open("ab") as file:
        file.write(batch)
    assert any("begins below offset" in each.reason for each in findings(folder))


def test_segment_that_overlaps_the_one_before_is_found(folder: Path) -> None:
    (folder / f"{1:020d}.log").write_bytes(make_batch([(b"a", b"b")], base_offset=1))
    assert any("where the segment before it ends" in each.reason for each in findings(folder))


@pytest.mark.parametrize(("suffix", "position"), [(".index", 7), (".timeindex", 7)])
def test_wrong_index_entry_is_found(folder: Path, suffix: str, position: int) -> None:
    index = first_log(folder).with_suffix(suffix)
    content = bytearray(index.read_bytes())
    content[position] ^= 0x40
    index.write_bytes(content)
    assert {each.path for each in findings(folder)} == {index}


def damage_snapshot(folder: Path) -> Path:
    path = max(folder.glob("*.snapshot"))
    flip_byte(path, 20)
    return path


def damage_txnindex(folder: Path) -> Path:
    path = max(folder.glob("*.txnindex"))
    path.write_bytes(path.read_bytes()[:-1])
    return path


def damage_epochs(folder: Path) -> Path:
    write_epoch_checkpoint(folder / "leader-epoch-checkpoint", [(2, 0), (1, 5)])
    return folder / "leader-epoch-checkpoint"


def damage_checkpoint(folder: Path) -> Path:
    path = folder.parent / "recovery-point-offset-checkpoint"
    path.write_text("0\n7\n")
    return path


@pytest.mark.parametrize(
    "damage", [damage_snapshot, damage_txnindex, damage_epochs, damage_checkpoint]
)
def test_damaged_small_file_is_found(folder: Path, damage: Callable[[Path], Path]) -> None:
    path = damage(folder)
    (found,) = findings(folder.parent)
    assert (found.path, found.severity) == (path, "error")
    assert str(path) in str(found)


def test_two_ids_of_one_topic_are_found(folder: Path) -> None:
    other = folder.parent / "clicks-1"
    other.mkdir()
    write_partition_metadata(other, bytes(range(1, 17)))
    (found,) = findings(folder.parent)
    assert "topic id is not that of" in found.reason
