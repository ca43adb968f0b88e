"""How many records a second become one batch, from a list, an array, a column?  CRC included."""

from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import Report
from headrace.core.batch_encoder import BinaryColumn, encode_array, encode_columns, encode_values

NOW = 1_700_000_000_000
WIDTHS = [16, 100, 1024]


def rows_of(count: int, width: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.random.default_rng(0).integers(0, 256, (count, width), np.uint8)


@pytest.mark.sizes(10, 1000)
@pytest.mark.parametrize("keyed", [False, True], ids=["values", "keys-and-values"])
@pytest.mark.parametrize("width", WIDTHS)
def test_list_of_bytes(benchmark: Any, report: Report, size: int, width: int, keyed: bool) -> None:
    values = [row.tobytes() for row in rows_of(size, width)]
    keys = [b"user-%d" % (index % 10) for index in range(size)] if keyed else None
    raw = benchmark(encode_values, values, keys, timestamp=NOW)
    report(raw, records=size, size_bytes=size * width)


@pytest.mark.sizes(1000, 400_000)
def test_list_of_scattered_bytes(benchmark: Any, report: Report, size: int) -> None:
    values = [row.tobytes() for row in rows_of(size, 100)]
    scattered = [values[index] for index in np.random.default_rng(1).permutation(size)]
    batches = [scattered[start : start + 1000] for start in range(0, size, 1000)]

    def encode_all() -> bytearray:
        for batch in batches:
            raw = encode_values(batch, timestamp=NOW)
        return raw

    raw = benchmark.pedantic(encode_all, rounds=3)
    report(raw, records=size, size_bytes=size * 100)


@pytest.mark.sizes(10, 1000)
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_of_an_array(benchmark: Any, report: Report, size: int, width: int) -> None:
    raw = benchmark(encode_array, rows_of(size, width), timestamp=NOW)
    report(raw, records=size, size_bytes=size * width)


@pytest.mark.sizes(10, 1000)
@pytest.mark.parametrize("offset_type", [np.int32, np.int64], ids=["int32", "int64"])
@pytest.mark.parametrize("width", WIDTHS)
def test_column_of_offsets(
    benchmark: Any, report: Report, size: int, width: int, offset_type: type
) -> None:
    offsets: Any = (np.arange(size + 1) * width).astype(offset_type)
    column = BinaryColumn(rows_of(size, width).tobytes(), offsets)
    raw = benchmark(encode_columns, column, timestamp=NOW)
    report(raw, records=size, size_bytes=size * width)
