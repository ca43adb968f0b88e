"""The time index against a sorted list, its golden bytes, and junk."""

from bisect import bisect_right
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.core.errors import CorruptIndexError, IndexFullError
from headrace.core.time_index import TimeIndex

BASE = 1000


def open_index(path: Path, *, max_bytes: int = 1 << 20) -> TimeIndex:
    return TimeIndex(str(path / "i.timeindex"), BASE, max_bytes=max_bytes)


def test_entry_is_a_timestamp_and_a_relative_offset(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    assert index.maybe_append(1_700_000_000_000, BASE + 258) == 1
    index.file.close()
    golden = bytes.fromhex("0000018bcfe56800 00000102")
    assert (tmp_path / "i.timeindex").read_bytes() == golden


@given(
    rows=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50)), max_size=40),
    probe=st.integers(-5, 1005),
    cut=st.none() | st.integers(0, 2000),
)
@example(rows=[(0, 0), (1, 0)], probe=0, cut=1)
@example(rows=[(0, 0), (1, 0)], probe=0, cut=None)
@example(rows=[(0, 0), (1, 2)], probe=1, cut=1)
def test_only_newer_timestamps_are_kept_and_found(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int]],
    probe: int,
    cut: int | None,
) -> None:
    path = tmp_path_factory.mktemp("index")
    index = open_index(path)
    model: list[tuple[int, int]] = []
    offset = BASE
    for timestamp, step in rows:
        offset += step
        is_newer = not model or timestamp > model[-1][0]
        assert index.maybe_append(timestamp, offset) == is_newer
        if is_newer:
            model.append((timestamp, offset))
    for reopened in (False, True):
        if reopened:
            if cut is not None:
                index.truncate_to(BASE + cut)
                model = [entry for entry in model if entry[1] < BASE + cut]
            index.file.close(trim=False)
            index = open_index(path)
            # All zeros is what a reserved tail holds: an entry that looks so and that none follows
            # is taken for one, which loses only speed.
            if model == [(0, BASE)]:
                model = []
        assert index.entries() == model
        slot = bisect_right(model, probe, key=lambda entry: entry[0]) - 1
        assert index.lookup(probe) == (model[slot] if slot >= 0 else (-1, BASE))
        index.sanity_check()
    index.file.close()


def test_last_slot_is_kept_for_closing_the_segment(tmp_path: Path) -> None:
    index = open_index(tmp_path, max_bytes=24)
    index.maybe_append(1, BASE)
    assert index.is_full
    index.maybe_append(2, BASE)
    with pytest.raises(IndexFullError):
        index.maybe_append(3, BASE)
    index.file.close()


@given(content=st.binary(max_size=200))
def test_junk_raises_nothing_but_the_documented_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("junk")
    (path / "i.timeindex").write_bytes(content)
    index = open_index(path)
    index.lookup(7)
    try:
        index.sanity_check()
    except CorruptIndexError:
        return
    timestamps = [timestamp for timestamp, _ in index.entries()]
    assert timestamps == sorted(set(timestamps))
    index.file.close()
