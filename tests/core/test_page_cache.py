"""What a log asks of the page cache: pages and faults, counted."""

import ctypes
import mmap
import os
import resource
from pathlib import Path

import pytest

from headrace.core.batch_builder import BatchBuilder
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker
from tests.support.manual_clock import ManualClock

NOW_MS = 1_700_000_000_000


def batch_of(count: int) -> bytearray:
    builder = BatchBuilder()
    for _ in range(count):
        builder.append_record(timestamp=NOW_MS, key=None, value=bytes(1000))
    return builder.build()


LARGE = batch_of(100)  # goes through pwrite
SMALL = batch_of(1)  # is stored into the mapping
# Zeros are written so far ahead of what is stored, by pages.
AHEAD_PAGES = 64 * 1024 // mmap.PAGESIZE
# And so many pages, at most, are made at once for a large append that is expected.
ROOM_PAGES = 256 * 1024 // mmap.PAGESIZE


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log.open(
        tmp_path / "clicks-0",
        topic="clicks",
        partition=0,
        config=LogConfig(),
        clock=ManualClock(now_ms=NOW_MS),
        worker=InlineWorker(),
        is_clean=False,
    )


def cached_pages(path: str) -> list[bool]:
    """Which pages of a file are in the page cache."""
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as whole:
        residency = (ctypes.c_ubyte * -(-len(whole) // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(whole)
        try:
            outcome = mincore(ctypes.byref(start), ctypes.c_size_t(len(whole)), residency)
            assert outcome == 0, os.strerror(ctypes.get_errno())
        finally:
            del start
    return [bool(each & 1) for each in residency]


def faults() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_minflt + used.ru_majflt


def read(log: Log, offset: int) -> int:
    """Read up to 1 MiB from `offset` on; how many bytes there were."""
    return len(
        log.read_records(
            start_offset=offset, max_bytes=1 << 20, upper_bound_offset=log.log_end_offset
        )
    )


def test_reading_the_tail_brings_no_page_of_the_room_behind_it(log: Log) -> None:
    """The kernel reads ahead of who reads a mapping: here zeros, which are written over next."""
    for number in range(200):
        offset = log.log_end_offset
        log.append_as_leader(SMALL if number % 10 == 0 else LARGE, leader_epoch=0)
        assert read(log, offset)
    file = log.active_segment.log
    assert file.reserved_bytes - file.size_bytes > 1 << 20
    written_pages = -(-file.size_bytes // mmap.PAGESIZE)
    beyond = cached_pages(file.path)[written_pages:]
    assert sum(beyond) <= AHEAD_PAGES
    log.close()


def test_small_appends_take_a_fault_for_many_pages(log: Log) -> None:
    log.append_as_leader(LARGE, leader_epoch=0)
    before, size_bytes = faults(), log.size_bytes
    while log.size_bytes < size_bytes + (8 << 20):
        log.append_as_leader(SMALL, leader_epoch=0)
    assert faults() - before < (8 << 20) // mmap.PAGESIZE / 2
    log.close()


def test_what_has_left_the_page_cache_is_brought_back_in_large_pieces(log: Log) -> None:
    log.append_as_leader(SMALL, leader_epoch=0)
    while log.active_segment.log.reserved_bytes < 4 << 20:
        log.append_as_leader(LARGE, leader_epoch=0)
    assert read(log, 0)  # it is mapped by now
    first = log.log_end_offset
    for _ in range(40):
        log.append_as_leader(LARGE, leader_epoch=0)
    log.flush()
    path = log.active_segment.log.path
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    if all(cached_pages(path)[1500:1600]):
        pytest.skip("this file system keeps its pages")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    taken_bytes = read(log, first)
    waited = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before
    assert taken_bytes > 900_000
    assert waited < taken_bytes / mmap.PAGESIZE / 4
    log.close()


def test_room_for_a_large_append_is_made_in_small_parts(log: Log) -> None:
    log.append_as_leader(LARGE, leader_epoch=0)
    path, expected_bytes = log.active_segment.log.path, 10 * len(LARGE)
    left_bytes, cached = expected_bytes, sum(cached_pages(path))
    while left_bytes:
        less_bytes = log.make_room(expected_bytes)
        assert less_bytes < left_bytes
        now_cached = sum(cached_pages(path))
        assert now_cached - cached <= ROOM_PAGES
        left_bytes, cached = less_bytes, now_cached
    assert log.make_room(expected_bytes) == 0
    assert sum(cached_pages(path)) == cached
    for _ in range(10):
        log.append_as_leader(LARGE, leader_epoch=0)
    assert sum(cached_pages(path)) == cached, "all of it was there"
    assert read(log, 0) > 1 << 19
    log.close()


def test_room_ends_where_the_segment_does(tmp_path: Path) -> None:
    log = Log.open(
        tmp_path / "clicks-0",
        topic="clicks",
        partition=0,
        config=LogConfig(segment_bytes=2 * len(LARGE) + 5000),
        clock=ManualClock(now_ms=NOW_MS),
        worker=InlineWorker(),
        is_clean=False,
    )
    log.append_as_leader(LARGE, leader_epoch=0)
    calls = 1
    while log.make_room(10 * len(LARGE)):
        calls += 1
    assert calls <= len(LARGE) // (ROOM_PAGES * mmap.PAGESIZE) + 2
    for _ in range(4):
        log.append_as_leader(LARGE, leader_epoch=0)
    assert len(log.segments) > 1
    log.close()
