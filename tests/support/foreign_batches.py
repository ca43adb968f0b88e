"""Record batches made by aiokafka's encoder: an origin for bytes that is not our own code."""

from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatchBuilder

Headers = Sequence[tuple[str, bytes | None]]
# (timestamp, key, value, headers)
Row = tuple[int, bytes | None, bytes | None, Headers]

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

ROWS: list[Row] = [
    (1_700_000_000_000, b"user-1", b"hello", []),
    (1_700_000_000_007, None, b"world", [("trace", b"\x00\xff"), ("trace", None)]),
    (1_699_999_999_990, b"", b"", [("", b"")]),
    (1_700_000_000_500, b"user-1", None, []),
    (1_700_000_000_500, "schlüssel".encode(), bytes(range(256)) * 3, [("é", b"x" * 200)]),
]


def foreign_batch(
    rows: Sequence[Row] = ROWS,
    *,
    compression: str = "none",
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    is_transactional: bool = False,
) -> bytes:
    """One batch that holds `rows`, base_offset 0 and leader epoch -1 as producers send them."""
    builder = DefaultRecordBatchBuilder(
        2,
        CODECS[compression],
        is_transactional,
        producer_id,
        producer_epoch,
        base_sequence,
        1 << 30,
    )
    for index, (timestamp, key, value, headers) in enumerate(rows):
        builder.append(index, timestamp, key, value, list(headers))
    return bytes(builder.build())
