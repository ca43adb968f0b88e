"""What does a lookup in a segment's indexes cost, and an entry?"""

import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.core.offset_index import OffsetIndex
from headrace.core.time_index import TimeIndex

OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES = 8, 12


def full_index(folder: Path, size: int) -> OffsetIndex:
    index = OffsetIndex(str(folder / "i.index"), 0, max_bytes=10 << 20)
    for slot in range(size):
        index.append_entry(40 * slot + 39, 4096 * (slot + 1))
    return index


@pytest.mark.sizes(100, 200_000)
def test_lookup_offset(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    index = full_index(tmp_path, size)
    chance = random.Random(1)
    probes = [chance.randrange(40 * size) for _ in range(100)]

    def look_up() -> int:
        return sum(index.lookup(probe)[0] for probe in probes)

    total = benchmark(look_up)
    report(b"%d" % total, records=len(probes), size_bytes=OFFSET_ENTRY_BYTES * len(probes))
    index.file.close()


@pytest.mark.sizes(100, 200_000)
def test_lookup_timestamp(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    index = TimeIndex(str(tmp_path / "i.timeindex"), 0, max_bytes=10 << 20)
    for slot in range(size):
        index.maybe_append(1000 * slot, 40 * slot)
    chance = random.Random(1)
    probes = [chance.randrange(1000 * size) for _ in range(100)]

    def look_up() -> int:
        return sum(index.lookup(probe)[1] for probe in probes)

    total = benchmark(look_up)
    report(b"%d" % total, records=len(probes), size_bytes=TIME_ENTRY_BYTES * len(probes))
    index.file.close()


@pytest.mark.sizes(100, 100_000)
def test_append_entries(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    index = OffsetIndex(str(tmp_path / "i.index"), 0, max_bytes=10 << 20)

    def append() -> None:
        index.truncate_to(0)
        for slot in range(size):
            index.append_entry(slot + 1, slot + 1)

    benchmark(append)
    assert index.slot_count == size
    report(bytes(index.file.view(0, index.file.size_bytes)), records=size)
    index.file.close()
