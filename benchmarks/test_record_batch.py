"""What does it cost to look at a batch, to walk its records, and to build one?"""

from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.core import BatchBuilder, RecordBatch, inspect_records, iter_batches
from headrace.core.batch_validator import BatchValidator
from headrace.core.log_config import LogConfig

VALUE = bytes(range(100))


def batch_of(record_count: int, *, compression: str = "none") -> bytes:
    builder = BatchBuilder(compression=compression)
    for index in range(record_count):
        builder.append_record(timestamp=1_700_000_000_000 + index, key=b"user-1", value=VALUE)
    return bytes(builder.build())


@pytest.mark.sizes(10, 1000)
def test_read_a_header_and_check_its_crc(benchmark: Any, report: Report, size: int) -> None:
    raw = batch_of(size)
    benchmark(lambda: RecordBatch(raw).crc_is_valid())
    report(raw, records=size, size_bytes=len(raw))


@pytest.mark.sizes(10, 1000)
def test_iterate_over_small_batches(benchmark: Any, report: Report, size: int) -> None:
    raw = batch_of(1) * size
    assert benchmark(lambda: sum(batch.record_count for batch in iter_batches(raw))) == size
    report(raw, records=size, size_bytes=len(raw))


@pytest.mark.parametrize("is_client", [True, False], ids=["producer", "follower"])
@pytest.mark.sizes(100, 10_000)
def test_validate_a_batch(benchmark: Any, report: Report, size: int, is_client: bool) -> None:
    """What an append asks before it writes: a producer's records are all looked at."""
    batch, now_ms = batch_of(size), 1_700_000_000_000
    validator = BatchValidator(LogConfig(max_message_bytes=len(batch)))
    info = benchmark(validator.inspect_batch, batch, is_client, 9, now_ms)
    assert info.last_offset_delta == size - 1
    report(batch, records=size, size_bytes=len(batch))


@pytest.mark.sizes(10, 1000)
@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_inspect_records(benchmark: Any, report: Report, size: int, compression: str) -> None:
    raw = batch_of(size, compression=compression)
    assert benchmark(lambda: inspect_records(RecordBatch(raw)).count) == size
    report(raw, records=size, size_bytes=size * len(VALUE))


@pytest.mark.sizes(10, 1000)
def test_read_records_as_objects(benchmark: Any, report: Report, size: int) -> None:
    raw = batch_of(size)
    assert benchmark(lambda: sum(1 for _ in RecordBatch(raw).records())) == size
    report(raw, records=size, size_bytes=size * len(VALUE))


@pytest.mark.sizes(10, 1000)
def test_build_a_batch(benchmark: Any, report: Report, size: int) -> None:
    raw = benchmark(batch_of, size)
    report(raw, records=size, size_bytes=size * len(VALUE))
