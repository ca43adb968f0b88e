"""Memory that the host has given already, for what a load is about to write.

A virtual machine hands out memory when a page is first written, and takes back what lies free in
blocks of 2 MiB for some seconds: a page that has to be handed out again costs ten times what a
broker's write into it does (2.4 beside 0.25 CPU-s/GB of pwrite).  The kernel takes the page cache's
large folios and single pages from different blocks, so both kinds are touched.
"""

import contextlib
import mmap
import os
from pathlib import Path

TOUCH_BYTES = 1 << 30
MOST_TOUCHED_BYTES = 4 << 30
PAGE = 4096
HUGE_PAGE = 2 << 20
HUGE_PAGE_ORDER = 9
# Not in Python's mmap before 3.14 (include/uapi/asm-generic/mman-common.h, Linux 5.14).
MADV_POPULATE_WRITE = 23


def touch_for(written_bytes: float) -> None:
    """Touches what a load is about to write, with its indexes and heads: right before it.

    What lies free for some seconds goes back to the host, so once a turn would not do.  And what
    earlier loads wrote is on the disk first: the kernel holds up whoever writes while a tenth of
    the memory waits for that.
    """
    os.sync()
    touch_memory(int(min(1.2 * written_bytes, MOST_TOUCHED_BYTES)))


def touch_memory(size_bytes: int = TOUCH_BYTES) -> None:
    """Makes the machine hold `size_bytes` in blocks of 2 MiB, and what lies free in smaller ones,
    then gives both back to the kernel."""
    with contextlib.ExitStack() as held:
        held.enter_context(_touched(size_bytes, mmap.MADV_HUGEPAGE))
        # A large folio is made of the smallest block that holds it, so these are used first; the
        # kernel does not give them back to the host, and only the first time costs.
        small = min(free_in_small_blocks(), MOST_TOUCHED_BYTES, 8 * size_bytes)
        held.enter_context(_touched(small, mmap.MADV_NOHUGEPAGE))


def free_in_small_blocks(buddyinfo: str | None = None) -> int:
    """Bytes that lie free in blocks of less than 2 MiB, as /proc/buddyinfo tells (its text, where
    given): for each zone, how many blocks of 1, 2, 4, ... pages there are."""
    if buddyinfo is None:
        buddyinfo = Path("/proc/buddyinfo").read_text()
    pages = 0
    for line in buddyinfo.splitlines():
        counts = line.split()[4:]
        pages += sum(int(count) << order for order, count in enumerate(counts[:HUGE_PAGE_ORDER]))
    return pages * PAGE


def _touched(size_bytes: int, advice: int) -> mmap.mmap:
    """A private block of memory of about this size, every page of it written."""
    size = size_bytes // HUGE_PAGE * HUGE_PAGE + HUGE_PAGE
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(advice)
    try:
        block.madvise(MADV_POPULATE_WRITE)
    except OSError:  # an older kernel
        for position in range(0, size, PAGE):
            block[position] = 1
    return block
