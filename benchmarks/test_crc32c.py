"""How fast does each kernel of this processor sum up a batch?"""

import random
from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.core.crc32c import crc32c_by_kernel, kernel_names

SIZES = [128, 1024, 65_536, 1 << 20]


@pytest.mark.sizes(1, 1000)
@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("kernel", kernel_names())
def test_crc32c(benchmark: Any, report: Report, size: int, kernel: str, size_bytes: int) -> None:
    data = random.Random(0).randbytes(size_bytes)
    repeats = max(1, size * 1024 // size_bytes)
    benchmark.pedantic(
        crc32c_by_kernel, (kernel, data), rounds=min(size, 50), iterations=repeats, warmup_rounds=1
    )
    report(crc32c_by_kernel(kernel, data).to_bytes(4, "big"), size_bytes=size_bytes)
