"""The four codecs: round trips, the forms that foreign clients write and read, hostile bytes."""

import gzip
import random

import cramjam
import pytest
from aiokafka import codec as foreign
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.compression import CODEC_IDS, compress, decompress
from headrace.core.errors import CorruptRecordError, UnsupportedCompressionTypeError

MIB = 1 << 20
REAL_CODECS = sorted(set(CODEC_IDS) - {"none"})
TEXT = b"".join(b"%d bottles of beer on the wall\n" % index for index in range(20_000))

FOREIGN_DECODE = {
    "gzip": foreign.gzip_decode,
    "snappy": foreign.snappy_decode,
    "lz4": foreign.lz4_decode,
    "zstd": foreign.zstd_decode,
}
FOREIGN_ENCODE = {
    "gzip": foreign.gzip_encode,
    "snappy": foreign.snappy_encode,
    "lz4": foreign.lz4_encode,
    "zstd": foreign.zstd_encode,
}


@given(data=st.binary(max_size=2000), repeat=st.integers(0, 60), codec=st.sampled_from(REAL_CODECS))
@settings(max_examples=200, deadline=None)
def test_any_bytes_come_back(data: bytes, repeat: int, codec: str) -> None:
    plain = data * repeat
    packed = compress(CODEC_IDS[codec], plain)
    assert decompress(CODEC_IDS[codec], packed, max_bytes=len(plain)) == plain


@pytest.mark.parametrize("codec", CODEC_IDS)
@pytest.mark.parametrize(
    "plain", [b"", b"x", TEXT, bytes(5 * MIB), random.Random(1).randbytes(MIB)]
)
def test_every_size_and_kind_comes_back(codec: str, plain: bytes) -> None:
    packed = compress(CODEC_IDS[codec], memoryview(plain))
    assert decompress(CODEC_IDS[codec], memoryview(packed), max_bytes=6 * MIB) == plain


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_a_foreign_client_reads_ours_and_we_read_theirs(codec: str) -> None:
    assert bytes(FOREIGN_DECODE[codec](compress(CODEC_IDS[codec], TEXT))) == TEXT
    theirs = bytes(FOREIGN_ENCODE[codec](TEXT))
    assert decompress(CODEC_IDS[codec], theirs, max_bytes=MIB) == TEXT


def test_raw_snappy_is_read_too() -> None:
    raw = bytes(cramjam.snappy.compress_raw(TEXT))
    assert decompress(CODEC_IDS["snappy"], raw, max_bytes=MIB) == TEXT


def test_lz4_frames_are_of_the_kind_that_java_reads() -> None:
    frame = compress(CODEC_IDS["lz4"], TEXT)
    assert frame[:4] == b"\x04\x22\x4d\x18"
    assert frame[4] >> 6 == 1, "version"
    assert frame[4] & 0x20, "independent blocks"


def test_lz4_frames_of_linked_blocks_with_checksums_are_read() -> None:
    linked = bytes(cramjam.lz4.compress(TEXT))
    assert linked[4] & 0x20 == 0
    assert decompress(CODEC_IDS["lz4"], linked, max_bytes=MIB) == TEXT


def test_snappy_is_written_as_xerial_blocks() -> None:
    packed = compress(CODEC_IDS["snappy"], TEXT)
    assert packed[:16] == b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"


@pytest.mark.parametrize(
    ("codec", "low", "high"), [("gzip", 1, 9), ("lz4", 1, 12), ("zstd", 1, 19)]
)
def test_a_higher_level_packs_tighter(codec: str, low: int, high: int) -> None:
    rows = [(random.Random(index).randrange(1000), index * index % 997) for index in range(5000)]
    text = b"".join(b'{"user": %d, "latency_ms": %d}' % row for row in rows)
    codec_id = CODEC_IDS[codec]
    assert len(compress(codec_id, text, high)) < len(compress(codec_id, text, low))


@pytest.mark.parametrize("codec", CODEC_IDS)
def test_the_bound_is_exact(codec: str) -> None:
    packed = compress(CODEC_IDS[codec], TEXT)
    assert decompress(CODEC_IDS[codec], packed, max_bytes=len(TEXT)) == TEXT
    with pytest.raises(CorruptRecordError, match=f"more than {len(TEXT) - 1} bytes"):
        decompress(CODEC_IDS[codec], packed, max_bytes=len(TEXT) - 1)


def test_a_bomb_stops_at_the_bound() -> None:
    bomb = gzip.compress(bytes(64 * MIB))
    assert len(bomb) < 100_000
    with pytest.raises(CorruptRecordError, match="more than"):
        decompress(CODEC_IDS["gzip"], bomb, max_bytes=MIB)


def test_a_snappy_block_that_lies_about_its_size_is_corrupt() -> None:
    with pytest.raises(CorruptRecordError):
        decompress(CODEC_IDS["snappy"], b"\xff\xff\xff\xff\x0f" + b"junk", max_bytes=MIB)


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_a_cut_off_input_is_corrupt(codec: str) -> None:
    packed = compress(CODEC_IDS[codec], TEXT)
    for keep in (1, 3, 9, len(packed) // 2, len(packed) - 1):
        with pytest.raises(CorruptRecordError):
            decompress(CODEC_IDS[codec], packed[:keep], max_bytes=MIB)


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_hostile_bytes_raise_only_corrupt_record_error(codec: str) -> None:
    noise = random.Random(5)
    packed = compress(CODEC_IDS[codec], TEXT[:3000])
    for _ in range(400):
        hostile = bytearray(packed)
        for _ in range(noise.randint(1, 3)):
            hostile[noise.randrange(len(hostile))] = noise.randrange(256)
        try:
            decompress(CODEC_IDS[codec], hostile, max_bytes=MIB)
        except CorruptRecordError:
            continue


@pytest.mark.parametrize("codec_id", [-1, 5, 7])
def test_an_unassigned_codec_is_unsupported(codec_id: int) -> None:
    with pytest.raises(UnsupportedCompressionTypeError, match=str(codec_id)):
        compress(codec_id, b"x")
    with pytest.raises(UnsupportedCompressionTypeError, match=str(codec_id)):
        decompress(codec_id, b"x", max_bytes=10)
