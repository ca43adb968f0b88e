"""How many records a second are found in batches, and turned into lists, arrays, Arrow columns?"""

from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import Report
from headrace.core.batch_columns import read_columns
from headrace.core.batch_encoder import encode_array

WIDTHS = [100, 1024]
BATCHES = 10


def batches_of(records: int, width: int) -> bytes:
    rows = np.random.default_rng(0).integers(0, 256, (records, width), np.uint8)
    return bytes(encode_array(rows, timestamp=1)) * BATCHES


@pytest.mark.sizes(10, 1000)
@pytest.mark.parametrize("check_crc", [False, True], ids=["trusted", "crc-checked"])
@pytest.mark.parametrize("width", WIDTHS)
def test_read_columns(
    benchmark: Any, report: Report, size: int, width: int, check_crc: bool
) -> None:
    raw = batches_of(size, width)
    columns = benchmark(read_columns, raw, check_crc=check_crc)
    report(columns.value_starts, records=size * BATCHES, size_bytes=len(raw))


@pytest.mark.sizes(10, 1000)
@pytest.mark.parametrize("width", WIDTHS)
def test_values_to_list(benchmark: Any, report: Report, size: int, width: int) -> None:
    columns = read_columns(batches_of(size, width))
    values = benchmark(columns.values_to_list)
    report(b"".join(values), records=size * BATCHES, size_bytes=size * BATCHES * width)


@pytest.mark.sizes(10, 1000)
@pytest.mark.parametrize("width", WIDTHS)
def test_packed_values(benchmark: Any, report: Report, size: int, width: int) -> None:
    columns = read_columns(batches_of(size, width))
    packed, _ = benchmark(columns.packed_values)
    report(packed, records=size * BATCHES, size_bytes=size * BATCHES * width)


@pytest.mark.sizes(10, 1000)
@pytest.mark.parametrize("width", WIDTHS)
def test_copy_values_into_an_array(benchmark: Any, report: Report, size: int, width: int) -> None:
    columns = read_columns(batches_of(size, width))
    out = np.zeros((size * BATCHES, width), np.uint8)
    benchmark(columns.copy_values_into, out)
    report(out, records=size * BATCHES, size_bytes=size * BATCHES * width)
