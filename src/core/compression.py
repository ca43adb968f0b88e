"""The four codecs of Kafka behind two functions; the work is done by cramjam, the GIL released.

    ID  NAME    AS WE WRITE IT                                            AS WE ALSO READ IT
     0  none    the bytes themselves
     1  gzip    one RFC 1952 member
     2  snappy  xerial blocks: magic, version 1, compatible 1, then       one raw snappy block
                (int32 size, raw snappy block of at most 32 KiB) ...
     3  lz4     one LZ4 frame of independent blocks                       linked blocks
     4  zstd    one RFC 8878 frame

Both odd choices are for Kafka's Java consumer: it refuses LZ4 frames of linked blocks, and xerial
is the snappy that its own producers write.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cramjam

from .errors import CorruptRecordError, UnsupportedCompressionTypeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

CODEC_IDS: dict[str, int] = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

XERIAL_MAGIC = b"\x82SNAPPY\x00"
XERIAL_HEADER = XERIAL_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
XERIAL_BLOCK_BYTES = 32 * 1024

# The first guess at an unknown uncompressed size; each next guess is four times the one before.
FIRST_GUESS_RATIO = 4
MIN_GUESS_BYTES = 4096
GUESS_GROWTH = 4
# What cramjam says when the output did not fit; any other words mean the input is broken.
OUTPUT_IS_FULL = "failed to write whole buffer"

# Where Python is free-threaded, cramjam (up to 2.14 at least) writes to bytearrays alone.
WRITES_TO_VIEWS = "t" not in sys.abiflags

DEFAULT_LEVELS = {1: 6, 3: 1, 4: 3}


def compress(codec_id: int, data: "Buffer", level: int | None = None) -> bytes:
    """`data` compressed as a batch's records are; `level` None is the codec's usual one.

    Snappy has no levels.  Raises UnsupportedCompressionTypeError for an unknown `codec_id`.
    """
    if codec_id == 0:
        return bytes(data)
    chosen = DEFAULT_LEVELS.get(codec_id, 0) if level is None else level
    if codec_id == 1:
        return bytes(cramjam.gzip.compress(data, level=chosen))
    if codec_id == 2:
        return _compress_xerial(memoryview(data).cast("B"))
    if codec_id == 3:
        compressor = cramjam.lz4.Compressor(chosen, content_checksum=False, block_linked=False)
        compressor.compress(bytes(data))  # takes nothing but bytes
        return bytes(compressor.finish())
    if codec_id == 4:
        return bytes(cramjam.zstd.compress(data, level=chosen))
    raise _unknown_codec(codec_id)


def decompress(codec_id: int, data: "Buffer", *, max_bytes: int) -> "bytes | memoryview":
    """The plain bytes of `data`, in a buffer of their own; never more than `max_bytes`.

    Memory is taken as the bytes come out, so a small input that unfolds hugely is caught at the
    bound.  Raises CorruptRecordError for bytes that are not of this codec, or are cut off, or pass
    the bound; UnsupportedCompressionTypeError for an unknown `codec_id`.
    """
    view = memoryview(data).cast("B")
    if codec_id == 0:
        if len(view) > max_bytes:
            raise _too_large(max_bytes)
        return bytes(view)
    if codec_id == 1:
        return _decompress_growing(cramjam.gzip.decompress_into, view, max_bytes, "gzip")
    if codec_id == 2:
        if view[: len(XERIAL_MAGIC)] == XERIAL_MAGIC:
            return _decompress_xerial(view, max_bytes)
        return _decompress_snappy_blocks([view], max_bytes)
    if codec_id == 3:
        return _decompress_growing(cramjam.lz4.decompress_into, view, max_bytes, "lz4")
    if codec_id == 4:
        return _decompress_growing(cramjam.zstd.decompress_into, view, max_bytes, "zstd")
    raise _unknown_codec(codec_id)


def _compress_xerial(view: memoryview) -> bytes:
    pieces = [XERIAL_HEADER]
    for start in range(0, len(view), XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + XERIAL_BLOCK_BYTES]))
        pieces.append(len(block).to_bytes(4, "big"))
        pieces.append(block)
    return b"".join(pieces)


def _decompress_xerial(view: memoryview, max_bytes: int) -> memoryview:
    blocks = []
    position = len(XERIAL_HEADER)
    if len(view) < position:
        raise CorruptRecordError("snappy: the xerial header is cut off")
    while position < len(view):
        size = int.from_bytes(view[position : position + 4], "big")
        position += 4
        if size > len(view) - position:
            raise CorruptRecordError("snappy: a xerial block runs past the end")
        blocks.append(view[position : position + size])
        position += size
    return _decompress_snappy_blocks(blocks, max_bytes)


def _decompress_snappy_blocks(blocks: list[memoryview], max_bytes: int) -> memoryview:
    """Raw snappy blocks, joined; each says its size first, so the output is made once."""
    try:
        sizes = [cramjam.snappy.decompress_raw_len(block) for block in blocks]
        if sum(sizes) > max_bytes:
            raise _too_large(max_bytes)
        output = memoryview(bytearray(sum(sizes)))
        position = 0
        for block, size in zip(blocks, sizes, strict=True):
            if size:
                _decompress_raw_into(block, output[position : position + size])
            position += size
    except cramjam.DecompressionError as error:
        raise CorruptRecordError(f"snappy: {error}") from error
    return output


def _decompress_raw_into(block: memoryview, target: memoryview) -> None:
    if WRITES_TO_VIEWS:
        cramjam.snappy.decompress_raw_into(block, target)
    else:
        unpacked = bytearray(len(target))
        cramjam.snappy.decompress_raw_into(block, unpacked)
        target[:] = unpacked


def _decompress_growing(
    decompress_into: Callable[[memoryview, bytearray], Any],
    view: memoryview,
    max_bytes: int,
    codec: str,
) -> memoryview:
    """Into a buffer four times as large each time it was too small, up to `max_bytes`."""
    guess = max(MIN_GUESS_BYTES, FIRST_GUESS_RATIO * len(view))
    while True:
        output = bytearray(min(guess, max_bytes))
        try:
            size = decompress_into(view, output)
        except cramjam.DecompressionError as error:
            if OUTPUT_IS_FULL not in str(error):
                raise CorruptRecordError(f"{codec}: {error}") from error
        else:
            return memoryview(output)[:size]
        if guess >= max_bytes:
            raise _too_large(max_bytes)
        guess *= GUESS_GROWTH


def _too_large(max_bytes: int) -> CorruptRecordError:
    return CorruptRecordError(f"a compressed batch unfolds to more than {max_bytes} bytes")


def _unknown_codec(codec_id: int) -> UnsupportedCompressionTypeError:
    return UnsupportedCompressionTypeError(
        f"compression id {codec_id} is unknown; 0 to {max(CODEC_IDS.values())} are assigned"
    )
