"""Cuts what a caller appends into batches that fit max.message.bytes, without an object a record.

One batch holds about TARGET_BATCH_BYTES, so that it is still in the processor's cache when it is
checked and stored.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...core.batch_builder import BatchBuilder
from ...core.batch_encoder import encode_array, encode_values
from ...core.errors import RecordTooLargeError
from .inputs import as_header_pairs

if TYPE_CHECKING:
    from typing_extensions import Buffer

    Headers = Mapping[str, Buffer | None] | Sequence[tuple[str, Buffer | None]]

TARGET_BATCH_BYTES = 256 * 1024
RECORD_OVERHEAD_BYTES = 24
_SAMPLED_RECORDS = 16

EncodeRange = Callable[[int, int], bytearray]
"""(first record, behind the last one) -> one batch of them."""


def encode_record(
    value: "Buffer | None",
    key: "Buffer | None",
    headers: "Headers | None",
    *,
    timestamp: int,
    compression: str,
) -> bytearray:
    """A batch of one record; raises TypeError for a key or value that is not bytes-like."""
    if not headers:
        keys = None if key is None else [key]
        return encode_values([value], keys, timestamp=timestamp, compression=compression)
    builder = BatchBuilder(compression=compression)
    builder.append_record(
        timestamp=timestamp, key=key, value=value, headers=as_header_pairs(headers)
    )
    return builder.build()


def cut_values(
    values: list[Any],
    keys: list[Any] | None,
    *,
    timestamp: int,
    timestamps: Any,
    compression: str,
    max_bytes: int,
) -> Iterator[bytearray]:
    """Batches of a list of bytes-likes (None for null) and its keys."""

    def part_of(elements: list[Any], start: int, end: int) -> list[Any]:
        # encode_values takes a list of its own: where all fit one batch, one copy is enough.
        return elements if end - start == len(elements) else elements[start:end]

    def encode(start: int, end: int) -> bytearray:
        return encode_values(
            part_of(values, start, end),
            None if keys is None else part_of(keys, start, end),
            timestamp=timestamp,
            timestamps=None if timestamps is None else timestamps[start:end],
            compression=compression,
        )

    sampled = list(islice(values, _SAMPLED_RECORDS))
    if keys is not None:
        sampled += islice(keys, _SAMPLED_RECORDS)
    bytes_sampled = sum(len(each) for each in sampled if hasattr(each, "__len__"))
    mean_bytes = bytes_sampled // max(1, min(len(values), _SAMPLED_RECORDS))
    return cut_ranges(encode, len(values), mean_bytes, max_bytes)


def cut_array(
    array: Any,
    keys: Any,
    *,
    timestamp: int,
    timestamps: Any,
    compression: str,
    max_bytes: int,
) -> Iterator[bytearray]:
    """Batches of the rows of uint8[n, width], or of the items of an array with one axis."""

    def encode(start: int, end: int) -> bytearray:
        return encode_array(
            array[start:end],
            None if keys is None else keys[start:end],
            timestamp=timestamp,
            timestamps=None if timestamps is None else timestamps[start:end],
            compression=compression,
        )

    width = array.nbytes // max(1, len(array))
    if keys is not None:
        width += keys.nbytes // max(1, len(keys))
    return cut_ranges(encode, len(array), width, max_bytes)


def cut_ranges(
    encode: EncodeRange, count: int, mean_bytes: int, max_bytes: int
) -> Iterator[bytearray]:
    """One batch after the other; a range whose batch is above `max_bytes` is halved.

    Raises RecordTooLargeError where one record alone is above it.
    """
    target_bytes = min(TARGET_BATCH_BYTES, max_bytes)
    step = max(1, target_bytes // (mean_bytes + RECORD_OVERHEAD_BYTES))
    start = 0
    # Invariant: the records before `start` were given out.
    while start < count:
        end = min(count, start + step)
        batch = encode(start, end)
        while len(batch) > max_bytes:
            if end - start == 1:
                raise RecordTooLargeError(len(batch), max_bytes)
            step = end = start + (end - start) // 2
            step -= start
            batch = encode(start, end)
        yield batch
        start = end
