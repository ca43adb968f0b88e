"""Frames of a broker link: cut anywhere, damaged anywhere."""

import random

import pytest

from headrace.raft.errors import CorruptFrameError
from headrace.raft.link_frames import MAX_FRAME_BYTES, FrameReader, encode_link_frame

PAYLOADS = [b"a", b"bb" * 700, bytes(range(256)) * 40]


@pytest.mark.parametrize("step", [1, 3, 7, 8, 9, 1000, 100_000])
def test_payloads_come_whole_however_the_stream_is_cut(step: int) -> None:
    stream = b"".join(encode_link_frame(payload) for payload in PAYLOADS)
    reader = FrameReader()
    found = []
    for start in range(0, len(stream), step):
        found += reader.feed(memoryview(stream)[start : start + step])
    assert found == PAYLOADS
    assert reader.held_bytes == 0


def test_golden_bytes() -> None:
    # CRC-32 of "raft" by zlib.crc32
    assert encode_link_frame(b"raft").hex() == "00000004" + "cda86f18" + "72616674"


@pytest.mark.parametrize("size", [0, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_anything_is_reserved(size: int) -> None:
    reader = FrameReader()
    with pytest.raises(CorruptFrameError, match="announces"):
        reader.feed(size.to_bytes(4, "big") + bytes(4))
    assert reader.held_bytes == 8


def test_a_promised_length_takes_no_memory() -> None:
    reader = FrameReader()
    assert reader.feed(MAX_FRAME_BYTES.to_bytes(4, "big") + bytes(100)) == []
    assert reader.held_bytes == 104


def test_one_flipped_bit_is_never_delivered() -> None:
    chance = random.Random(5)
    frame = encode_link_frame(PAYLOADS[1])
    for _ in range(200):
        damaged = bytearray(frame)
        damaged[chance.randrange(4, len(frame))] ^= 1 << chance.randrange(8)
        with pytest.raises(CorruptFrameError):
            FrameReader().feed(bytes(damaged))
