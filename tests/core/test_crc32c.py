"""CRC-32C: every kernel of this processor against a bit-by-bit reference."""

import random

import pytest

from headrace.core.crc32c import crc32c, crc32c_by_kernel, kernel_names

# Each kernel changes its inner loop somewhere here: 8, 256 and 3 * 1360 bytes.
SIZES = [*range(70), 255, 256, 257, 263, 264, 511, 512, 777, 4079, 4080, 4087, 8161, 12_241, 40_000]


def slow_crc32c(data: bytes, value: int = 0) -> int:
    crc = value ^ 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_known_answers_of_rfc_3720_appendix_b4() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(reversed(range(32)))) == 0x113FDB5C
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@pytest.mark.parametrize("kernel", kernel_names())
def test_every_kernel_agrees_with_the_bitwise_definition(kernel: str) -> None:
    noise = random.Random(1)
    for size in SIZES:
        data, start = noise.randbytes(size), noise.getrandbits(32)
        assert crc32c_by_kernel(kernel, data, start) == slow_crc32c(data, start), size


@pytest.mark.parametrize("kernel", kernel_names())
def test_alignment_and_pieces_do_not_matter(kernel: str) -> None:
    data = memoryview(random.Random(2).randbytes(20_000))
    whole = crc32c_by_kernel(kernel, data)
    for cut in (1, 7, 63, 300, 5000, 19_999):
        first = crc32c_by_kernel(kernel, data[:cut])
        assert crc32c_by_kernel(kernel, data[cut:], first) == whole


def test_one_flipped_bit_changes_the_sum() -> None:
    data = bytearray(random.Random(3).randbytes(5000))
    whole = crc32c(data)
    for position in (0, 255, 256, 4081, 4999):
        data[position] ^= 4
        assert crc32c(data) != whole
        data[position] ^= 4
    assert crc32c(data) == whole


def test_writable_and_read_only_buffers_are_the_same() -> None:
    data = b"abc" * 10_000
    assert crc32c(bytearray(data)) == crc32c(memoryview(data)) == crc32c(data)


def test_what_is_no_contiguous_buffer_is_refused() -> None:
    with pytest.raises(TypeError):
        crc32c("text")  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        crc32c(memoryview(b"abcdef")[::2])


def test_an_unknown_kernel_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="quantum"):
        crc32c_by_kernel("quantum", b"")
