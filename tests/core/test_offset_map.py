"""The table of last offsets: published hash vectors, and a plain dict as its model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import CorruptRecordError
from headrace.core.offset_map import OffsetMap, judge_batch, siphash128
from headrace.core.record_batch import RecordBatch
from tests.support.batches import make_batch

SECRET = bytes(range(16))

# From the reference implementation's vectors_sip128: input 00 01 02 ..., key 00 01 ... 0f.
VECTORS = {
    0: "a3817f04ba25a8e66df67214c7550293",
    1: "da87c1d86b99af44347659119b22fc45",
}


def new_map(max_entries: int = 100, memory_bytes: int = 1 << 20) -> OffsetMap:
    return OffsetMap(max_entries=max_entries, memory_bytes=memory_bytes, secret=SECRET)


@pytest.mark.parametrize("size", VECTORS)
def test_hash_matches_the_published_vectors(size: int) -> None:
    assert siphash128(bytes(range(size)), SECRET).hex() == VECTORS[size]


def test_hash_depends_on_every_byte_length_and_secret() -> None:
    inputs = [bytes(length) for length in range(40)]
    inputs += [bytes(i) + b"\x01" + bytes(39 - i) for i in range(40)]
    assert len({siphash128(each, SECRET) for each in inputs}) == len(inputs)
    assert siphash128(b"key", SECRET) != siphash128(b"key", bytes(16))


@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 2**62)), max_size=200))
def test_map_agrees_with_a_dict(puts: list[tuple[bytes, int]]) -> None:
    offset_map = new_map(max_entries=200)
    model: dict[bytes, int] = {}
    for key, offset in puts:
        offset_map.put_offset(key, offset)
        model[key] = offset
    assert offset_map.entry_count == len(model)
    assert {key: offset_map.get_offset(key) for key in model} == model
    assert offset_map.get_offset(b"a key that is longer than any above") == -1


def test_memory_bounds_the_entries() -> None:
    small = new_map(max_entries=1_000_000, memory_bytes=24 * 1024)
    assert small.capacity == 768
    for number in range(768):
        assert small.has_room_for(1)
        small.put_offset(b"%d" % number, number)
    assert not small.has_room_for(1)
    assert small.get_offset(b"500") == 500
    assert new_map(max_entries=1000).capacity >= 1000


def batch_of(*records: tuple[bytes | None, bytes | None], base_offset: int = 0) -> RecordBatch:
    return RecordBatch(make_batch(records, base_offset=base_offset))


def test_batch_is_taken_in_from_the_start_offset_on() -> None:
    offset_map = new_map()
    batch = batch_of((b"a", b"1"), (b"b", b"2"), (None, b"3"), (b"a", b"4"), base_offset=10)
    offset_map.put_batch(batch, 11)
    assert offset_map.entry_count == 2
    assert offset_map.get_offset(b"a") == 13
    assert offset_map.get_offset(b"b") == 11


def test_only_the_last_record_of_a_key_is_kept() -> None:
    offset_map = new_map()
    batch = batch_of((b"a", b"1"), (b"b", None), (b"a", b"2"), (None, b"x"), (b"", b"e"))
    offset_map.put_batch(batch, 0)
    offset_map.latest_offset = 4
    kept = judge_batch(offset_map, batch, True)
    assert kept == (b"\x00\x01\x01\x00\x01", 3, True)
    assert judge_batch(offset_map, batch, False) == (b"\x00\x00\x01\x00\x01", 2, False)


def test_what_lies_behind_the_map_is_kept() -> None:
    offset_map = new_map()
    batch = batch_of((b"a", b"1"), (None, b"2"), (b"b", None))
    offset_map.latest_offset = 0
    assert judge_batch(offset_map, batch, False).retained == b"\x01\x01\x01"


@given(st.binary(min_size=1, max_size=40))
def test_broken_records_raise_only_the_documented_error(junk: bytes) -> None:
    made = bytearray(make_batch([(b"key", b"value"), (b"key", b"value")]))
    made[61 : 61 + len(junk)] = junk[: len(made) - 61]
    batch = RecordBatch(bytes(made))
    for use in (
        lambda: new_map().put_batch(batch, 0),
        lambda: judge_batch(new_map(), batch, True),
    ):
        try:
            use()
        except CorruptRecordError:
            continue
