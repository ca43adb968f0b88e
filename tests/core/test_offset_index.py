"""The offset index against a sorted list, against its golden bytes, and against junk."""

import struct
from bisect import bisect_right
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import CorruptIndexError, IndexFullError
from headrace.core.offset_index import OffsetIndex

BASE = 1000


def open_index(path: Path, *, max_bytes: int = 1 << 20) -> OffsetIndex:
    return OffsetIndex(str(path / "i.index"), BASE, max_bytes=max_bytes)


def test_entry_is_two_big_endian_integers(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    index.append_entry(BASE + 5, 4097)
    index.append_entry(BASE + 70_000, 1 << 30)
    index.file.close()
    golden = bytes.fromhex("00000005 00001001 00011170 40000000")
    assert (tmp_path / "i.index").read_bytes() == golden


def test_lookup_below_first_entry_starts_at_zero(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    assert index.lookup(BASE + 9) == (BASE, 0)
    index.append_entry(BASE + 10, 500)
    assert index.lookup(BASE + 9) == (BASE, 0)
    assert index.lookup(BASE + 10) == (BASE + 10, 500)
    index.file.close()


@given(
    steps=st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 100_000)), max_size=50),
    probes=st.lists(st.integers(0, 60_000), max_size=20),
    cut=st.integers(0, 60_000),
)
def test_lookups_are_those_of_a_sorted_list(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, int]],
    probes: list[int],
    cut: int,
) -> None:
    path = tmp_path_factory.mktemp("index")
    index = open_index(path)
    model: list[tuple[int, int]] = []
    offset, position = BASE, 0
    for offset_step, position_step in steps:
        offset, position = offset + offset_step, position + position_step
        index.append_entry(offset, position)
        model.append((offset, position))
    for reopened in (False, True):
        if reopened:
            index.truncate_to(BASE + cut)
            model = [entry for entry in model if entry[0] < BASE + cut]
            index.file.close(trim=False)
            index = open_index(path)
        assert index.entries() == model
        for probe in probes:
            slot = bisect_right(model, BASE + probe, key=lambda entry: entry[0]) - 1
            assert index.lookup(BASE + probe) == (model[slot] if slot >= 0 else (BASE, 0))
        index.sanity_check(1 << 31)
    index.file.close()


def test_index_is_full_after_its_last_whole_entry(tmp_path: Path) -> None:
    index = open_index(tmp_path, max_bytes=20)
    index.append_entry(BASE + 1, 1)
    assert not index.is_full
    index.append_entry(BASE + 2, 2)
    assert index.is_full
    with pytest.raises(IndexFullError):
        index.append_entry(BASE + 3, 3)
    index.file.close()


@pytest.mark.parametrize(
    "content",
    [
        b"\0\0\0\5\0\0\0\7\0",
        struct.pack(">iiii", 5, 100, 5, 200),
        struct.pack(">iiii", 5, 100, 6, 100),
        struct.pack(">ii", -1, 100),
        struct.pack(">ii", 5, 4000),
        b"\xff" * 16,
    ],
)
def test_impossible_entries_are_noticed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "i.index").write_bytes(content)
    index = open_index(tmp_path)
    with pytest.raises(CorruptIndexError):
        index.sanity_check(4000)
    index.file.close()


@given(content=st.binary(max_size=200))
def test_junk_raises_nothing_but_the_documented_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("junk")
    (path / "i.index").write_bytes(content)
    index = open_index(path)
    index.lookup(BASE + 7)
    index.entries()
    try:
        index.sanity_check(1 << 20)
    except CorruptIndexError:
        return
    entries = index.entries()
    assert entries == sorted(set(entries))
    index.file.close()
