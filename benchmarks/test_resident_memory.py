"""Is what a load is about to write in memory, in whatever blocks the kernel takes it from?"""

import mmap
from pathlib import Path

from benchmarks import resident_memory
from benchmarks.resident_memory import HUGE_PAGE, PAGE, free_in_small_blocks, touch_memory

BUDDYINFO = """\
Node 0, zone      DMA      1      0      2      0      0      0      0      0      1      1      3
Node 0, zone   Normal     10      0      0      0      0      0      0      0      0     29   1449
"""


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_blocks_below_two_mebibytes_are_counted() -> None:
    assert free_in_small_blocks(BUDDYINFO) == (1 + 2 * 4 + 256 + 10) * PAGE


def test_every_page_of_a_block_is_written() -> None:
    for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE):
        before = resident_bytes()
        with resident_memory._touched(4 * HUGE_PAGE, advice):
            assert resident_bytes() - before >= 4 * HUGE_PAGE


def test_both_kinds_are_touched_at_once_and_given_back(monkeypatch) -> None:
    touched: list[mmap.mmap] = []

    def note(size_bytes: int, advice: int) -> mmap.mmap:
        assert not any(block.closed for block in touched)
        touched.append(mmap.mmap(-1, size_bytes))
        return touched[-1]

    monkeypatch.setattr(resident_memory, "_touched", note)
    monkeypatch.setattr(resident_memory, "free_in_small_blocks", lambda: 3 * HUGE_PAGE)
    touch_memory(HUGE_PAGE)
    assert [block.closed for block in touched] == [True, True]
