"""The cursors over Kafka's primitive types: layouts, bounds, lending."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import MalformedBytesError
from headrace.core.wire_buffer import ReadBuffer, WriteBuffer


def test_numbers_are_big_endian() -> None:
    out = WriteBuffer()
    out.write_int8(-2)
    out.write_int16(-2)
    out.write_int32(-2)
    out.write_int64(-2)
    out.write_uint16(65534)
    out.write_uint32(4294967294)
    out.write_float64(1.5)
    written = out.to_bytes()
    assert written.hex(" ", 1) == (
        "fe ff fe ff ff ff fe ff ff ff ff ff ff ff fe ff fe ff ff ff fe 3f f8 00 00 00 00 00 00"
    )
    source = ReadBuffer(written)
    assert (source.read_int8(), source.read_int16(), source.read_int32()) == (-2, -2, -2)
    assert (source.read_int64(), source.read_uint16(), source.read_uint32()) == (
        -2,
        65534,
        4294967294,
    )
    assert source.read_float64() == 1.5
    assert source.remaining_bytes == 0


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32 - 1, "ffffffff0f")],
)
def test_a_varint_has_seven_bits_a_byte_lowest_first(value: int, written: str) -> None:
    out = WriteBuffer()
    out.write_unsigned_varint(value)
    assert out.to_bytes().hex() == written
    assert ReadBuffer(bytes.fromhex(written)).read_unsigned_varint() == value


@pytest.mark.parametrize("written", ["ffffffff10", "ffffffffff01", "8080808080", "80", ""])
def test_a_varint_beyond_32_bits_or_cut_short_is_malformed(written: str) -> None:
    with pytest.raises(MalformedBytesError):
        ReadBuffer(bytes.fromhex(written)).read_unsigned_varint()


@given(st.none() | st.text(max_size=300), st.booleans())
def test_a_string_comes_back(text: str | None, is_flexible: bool) -> None:
    out = WriteBuffer()
    out.write_string(text, is_flexible)
    source = ReadBuffer(out.to_bytes())
    assert source.read_string(is_flexible) == text
    assert source.remaining_bytes == 0


@given(st.none() | st.binary(max_size=600), st.booleans(), st.integers(-1, 50))
def test_bytes_come_back_lent_or_copied(
    data: bytes | None, is_flexible: bool, lend_from: int
) -> None:
    out = WriteBuffer(lend_from)
    out.write_int8(1)
    out.write_bytes(data, is_flexible)
    out.write_int8(2)
    written = b"".join(out.to_pieces())
    assert written == out.to_bytes()
    assert len(written) == out.size_bytes
    source = ReadBuffer(written, 1)
    assert source.read_bytes(is_flexible) == data
    assert source.read_int8() == 2


@pytest.mark.parametrize(
    ("name", "too_large"),
    [
        ("write_int8", 128),
        ("write_int16", 2**15),
        ("write_int32", -(2**31) - 1),
        ("write_int64", 2**63),
        ("write_uint16", -1),
        ("write_uint32", 2**32),
    ],
)
def test_a_number_that_does_not_fit_is_refused(name: str, too_large: int) -> None:
    with pytest.raises(OverflowError):
        getattr(WriteBuffer(), name)(too_large)


def test_a_uuid_has_sixteen_bytes() -> None:
    with pytest.raises(TypeError, match="16 bytes"):
        WriteBuffer().write_uuid(bytes(15))
    assert ReadBuffer(bytes(range(16))).read_uuid() == bytes(range(16))


def test_a_view_is_part_of_the_lenders_memory() -> None:
    lender = bytearray(b"\x00\x00\x00\x02ab")
    view = ReadBuffer(lender).read_view(False)
    lender[4] = ord("X")
    assert view is not None
    assert bytes(view) == b"Xb"


def test_a_view_of_a_view_of_wider_items_still_counts_bytes() -> None:
    view = ReadBuffer(memoryview(b"\x00\x00\x00\x04abcd").cast("I")).read_view(False)
    assert view is not None
    assert bytes(view) == b"abcd"


@pytest.mark.parametrize("length", [b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x03"])
def test_a_length_beyond_the_end_or_below_null_is_malformed(length: bytes) -> None:
    with pytest.raises(MalformedBytesError):
        ReadBuffer(length + b"ab").read_bytes(False)


def test_a_start_outside_the_buffer_is_malformed() -> None:
    with pytest.raises(MalformedBytesError):
        ReadBuffer(b"ab", 3)


def test_a_tag_buffer_is_stepped_over_whole() -> None:
    source = ReadBuffer(bytes.fromhex("02 00 01 aa 05 02 bbcc") + b"!")
    source.skip_tagged_fields()
    assert source.read_int8() == ord("!")


def test_growth_keeps_what_was_written() -> None:
    out = WriteBuffer()
    for value in range(10_000):
        out.write_int32(value)
    out.patch_int32(4, 77)
    written = out.to_bytes()
    assert len(written) == 40_000
    assert int.from_bytes(written[4:8], "big") == 77
    assert int.from_bytes(written[-4:], "big") == 9_999
