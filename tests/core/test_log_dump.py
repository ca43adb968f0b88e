"""Every kind of file in a log folder as plain values; damage is told, never raised."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.core.log_dump import UnknownFileError, dump_file, readable
from tests.support.batches import make_batch
from tests.support.log_folders import BATCH_COUNT, CODECS, RECORD_COUNT, write_sample_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_folder(tmp_path_factory.mktemp("dump"))


def dump_all(paths: list[Path], **arguments: Any) -> list[dict[str, Any]]:
    assert paths
    return [entry for path in sorted(paths) for entry in dump_file(path, **arguments)]


def test_batches_are_described_by_their_headers(folder: Path) -> None:
    batches = dump_all(list(folder.glob("*.log")))
    assert {each["kind"] for each in batches} == {"batch"}
    assert len(batches) == BATCH_COUNT
    assert all(each["is_valid"] for each in batches)
    assert {each["compression"] for each in batches} == set(CODECS)
    assert [each["base_offset"] for each in batches[:3]] == [0, 5, 10]
    last = batches[-1]
    assert (last["is_control"], last["producer_id"], last["leader_epoch"]) == (True, 9, 2)


def test_records_follow_their_batch_on_request(folder: Path) -> None:
    entries = dump_all(list(folder.glob("*.log")), with_records=True)
    records = [each for each in entries if each["kind"] == "record"]
    assert [each["offset"] for each in records] == list(range(RECORD_COUNT))
    assert (records[6]["key"], records[6]["value"]) == ("key-1", "value " * 10)
    markers = {each["marker"]: each for each in records if "marker" in each}
    assert set(markers) == {"ABORT", "COMMIT"}
    assert markers["ABORT"]["coordinator_epoch"] == 5


def test_indexes_point_at_batches(folder: Path) -> None:
    ends = {
        (path.stem, each["position"]): each["last_offset"]
        for path in folder.glob("*.log")
        for each in dump_file(path)
    }
    seen = 0
    for path in folder.glob("*.index"):
        for entry in dump_file(path):
            assert ends[path.stem, entry["position"]] == entry["offset"]
            seen += 1
    assert seen >= 3
    times = dump_all(list(folder.glob("*.timeindex")))
    assert [each["kind"] for each in times[:1]] == ["time_entry"]
    assert times == sorted(times, key=lambda each: each["timestamp"])


def test_producers_and_aborted_transactions_are_listed(folder: Path) -> None:
    producers = list(dump_file(max(folder.glob("*.snapshot"))))
    assert [(each["producer_id"], each["last_sequence"]) for each in producers] == [
        (7, 199),
        (8, 0),
        (9, 0),
    ]
    (aborted,) = dump_all(list(folder.glob("*.txnindex")))
    assert (aborted["producer_id"], aborted["first_offset"], aborted["last_offset"]) == (
        8,
        200,
        201,
    )


def test_small_files_are_read_by_their_names(folder: Path) -> None:
    root = folder.parent
    (checkpoint,) = dump_file(root / "recovery-point-offset-checkpoint")
    assert checkpoint == {
        "kind": "checkpoint",
        "topic": "clicks",
        "partition": 0,
        "offset": RECORD_COUNT,
    }
    (properties,) = dump_file(root / "meta.properties")
    assert properties["node.id"] == "1"
    (metadata,) = dump_file(folder / "partition.metadata")
    assert metadata["topic_id"] == "AAECAwQFBgcICQoLDA0ODw"
    epochs = list(dump_file(folder / "leader-epoch-checkpoint"))
    assert [(each["leader_epoch"], each["start_offset"]) for each in epochs] == [
        (0, 0),
        (1, 100),
        (2, 200),
    ]


def test_everything_goes_through_json(folder: Path) -> None:
    paths = [path for path in folder.iterdir() if path.is_file()]
    entries = dump_all(paths, with_records=True)
    assert json.loads(json.dumps(entries)) == entries


def test_reserved_tail_is_told_from_damage(tmp_path: Path) -> None:
    path = tmp_path / f"{0:020d}.log"
    batch = make_batch([(b"a", b"1")])
    path.write_bytes(batch + bytes(1000))
    assert list(dump_file(path))[1:] == [
        {"kind": "reserved", "position": len(batch), "size_bytes": 1000}
    ]
    path.write_bytes(batch + batch[:66])
    (torn,) = list(dump_file(path))[1:]
    assert (torn["kind"], torn["position"], torn["size_bytes"]) == ("damage", len(batch), 66)


def test_batch_that_fails_its_crc_is_shown_as_such(tmp_path: Path) -> None:
    path = tmp_path / f"{0:020d}.log"
    broken = bytearray(make_batch([(b"a", b"1")]))
    broken[-1] ^= 1
    path.write_bytes(bytes(broken) + make_batch([(b"b", b"2")], base_offset=1))
    assert [each["is_valid"] for each in dump_file(path)] == [False, True]


def test_batch_larger_than_a_read_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / f"{0:020d}.log"
    large = make_batch([(b"a", bytes(3 << 20))])
    small = make_batch([(b"b", b"1")], base_offset=1)
    path.write_bytes(small + large + small)
    assert [each["size_bytes"] for each in dump_file(path)] == [len(small), len(large), len(small)]
    assert all(each["is_valid"] for each in dump_file(path))


def test_unknown_file_is_refused_with_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.touch()
    with pytest.raises(UnknownFileError, match=r"give a \.log, \.index"):
        list(dump_file(path))


@pytest.mark.parametrize("kind", ["log", "index", "timeindex", "txnindex", "snapshot"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_random_bytes_are_told_as_damage(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"{0:020d}.{kind}"
    path.write_bytes(content)
    for entry in dump_file(path, with_records=True):
        assert entry["kind"]


def test_bytes_are_shown_as_text_only_where_they_are_text() -> None:
    assert readable(None) is None
    assert readable(b"") == ""
    assert readable("schlüssel".encode()) == "schlüssel"
    assert readable(b"\x00\x01") == "0x0001"
    assert readable(b"\xff") == "0xff"
