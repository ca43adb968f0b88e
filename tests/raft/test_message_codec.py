"""Frames between brokers: what is sent is read, and nothing else is."""

import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.raft.errors import CorruptFrameError
from headrace.raft.message_codec import (
    MAX_FRAME_BYTES,
    GroupMessage,
    decode_frame,
    encode_frame,
    encode_frames,
)

COUNT = st.integers(0, (1 << 62) - 1)
BYTES = st.binary(max_size=40)
ENTRIES = st.lists(st.tuples(COUNT, BYTES), max_size=4).map(tuple)
FIELDS: dict[GroupMessage, Any] = {
    GroupMessage.PRE_VOTE: st.tuples(COUNT, COUNT, COUNT),
    GroupMessage.PRE_VOTE_REPLY: st.tuples(COUNT, st.booleans()),
    GroupMessage.VOTE: st.tuples(COUNT, COUNT, COUNT, st.booleans()),
    GroupMessage.VOTE_REPLY: st.tuples(COUNT),
    GroupMessage.APPEND: st.tuples(COUNT, COUNT, COUNT, COUNT, ENTRIES),
    GroupMessage.APPEND_REPLY: st.tuples(COUNT, COUNT, st.booleans(), st.booleans()),
    GroupMessage.SNAPSHOT: st.tuples(COUNT, COUNT, COUNT, BYTES),
    GroupMessage.TIMEOUT_NOW: st.tuples(COUNT),
    GroupMessage.QUIESCE: st.tuples(COUNT, COUNT, COUNT),
    GroupMessage.HIGHER_TERM: st.tuples(COUNT),
}
MESSAGES = st.one_of(
    [
        st.tuples(st.text(max_size=20), st.just(int(kind)), fields).map(
            lambda parts: (parts[0], parts[1], *parts[2])
        )
        for kind, fields in FIELDS.items()
    ]
)


def test_every_kind_has_its_fields_here() -> None:
    assert set(FIELDS) == set(GroupMessage)


@settings(max_examples=200, deadline=None)
@given(st.lists(MESSAGES, max_size=6))
def test_what_is_sent_is_read(messages: list[tuple[Any, ...]]) -> None:
    assert decode_frame(encode_frame(messages)) == messages


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        decode_frame(data)
    except CorruptFrameError:
        return


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=3), st.data())
def test_a_damaged_frame_is_read_or_refused(
    messages: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    frame = bytearray(encode_frame(messages))
    position = data.draw(st.integers(0, len(frame) - 1))
    frame[position] = data.draw(st.integers(0, 255))
    try:
        decode_frame(bytes(frame[: data.draw(st.integers(0, len(frame)))]))
    except CorruptFrameError:
        return


HEAD = ("g", int(GroupMessage.APPEND))


@pytest.mark.parametrize(
    "message",
    [
        (),
        ("g",),
        ("g", 63),
        ("g", -1),
        ("g", True, 1),
        (b"g", int(GroupMessage.VOTE_REPLY), 1),
        ("g" * 300, int(GroupMessage.VOTE_REPLY), 1),
        ("g", int(GroupMessage.VOTE_REPLY)),
        ("g", int(GroupMessage.VOTE_REPLY), 1, 1),
        ("g", int(GroupMessage.VOTE_REPLY), -1),
        ("g", int(GroupMessage.VOTE_REPLY), 1 << 62),
        ("g", int(GroupMessage.VOTE_REPLY), True),
        ("g", int(GroupMessage.VOTE_REPLY), 1.0),
        ("g", int(GroupMessage.PRE_VOTE_REPLY), 1, 1),
        (*HEAD, 1, 1, 1, 1, None),
        (*HEAD, 1, 1, 1, 1, ((1,),)),
        (*HEAD, 1, 1, 1, 1, ((1, "text"),)),
        (*HEAD, 1, 1, 1, 1, ((-1, b"x"),)),
        (*HEAD, 1, 1, 1, 1, (1, 2)),
        {"a": 1},
        7,
    ],
    ids=repr,
)
def test_a_message_of_another_shape_is_refused(message: object) -> None:
    with pytest.raises(CorruptFrameError):
        decode_frame(msgpack.packb([message]))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        msgpack.packb({"a": 1}),
        msgpack.packb(msgpack.ExtType(1, b"x")),
        msgpack.packb([]) + b"\0",
        b"\x91" * 2000,
    ],
    ids=["empty", "no type", "map", "extension", "something behind", "deep"],
)
def test_a_frame_of_another_shape_is_refused(frame: bytes) -> None:
    with pytest.raises(CorruptFrameError):
        decode_frame(frame)


@pytest.mark.parametrize(("count", "size_bytes"), [(70_000, 0), (3, 30 << 20), (1, 10), (0, 0)])
def test_what_is_above_a_frames_bounds_comes_in_several_in_order(
    count: int, size_bytes: int
) -> None:
    kind = int(GroupMessage.SNAPSHOT)
    messages = [("g", kind, number, 1, 1, bytes(size_bytes)) for number in range(count)]
    frames = list(encode_frames(messages))
    assert [told for frame in frames for told in decode_frame(frame)] == messages
    assert len(frames) == (1 if count < 2 else 2)


def test_a_frame_above_the_bound_is_refused_unread() -> None:
    with pytest.raises(CorruptFrameError, match="above"):
        decode_frame(bytes(MAX_FRAME_BYTES + 1))


def test_lengths_that_promise_more_than_the_frame_holds_reserve_little() -> None:
    """Arrays in arrays, each said to have as many elements as may be."""
    nested = b"\xdd\x00\x00\x00\x50" * 16
    huge = b"\xdd\xff\xff\xff\xff"
    tracemalloc.start()
    try:
        for frame in (nested, nested.replace(b"\x50", b"\xff"), huge, b"\xc6\xff\xff\xff\xff"):
            with pytest.raises(CorruptFrameError):
                decode_frame(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024
