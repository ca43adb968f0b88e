"""Batches of one leader epoch, stored in one piece as they are: how a follower appends."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .log_segment cimport LogSegment


cdef struct Run:
    int64_t end                      # position behind the last batch that may be stored
    int64_t next_offset              # behind its last record
    int64_t entry_count              # how many index entries the batches bring, at most
    int32_t batch_count
    bint has_producers               # a batch of an idempotent producer is among them
    bint is_damaged                  # what stands at `end` is no whole batch with a right CRC


# How a segment bounds the batches that it takes in one run.
cdef struct RunLimits:
    int64_t room_bytes               # of the segment; the first batch may be larger
    int64_t last_offset              # that a batch may have
    int64_t entry_room               # index entries that are free
    int64_t interval_bytes           # index.interval.bytes
    int64_t bytes_since_entry
    int64_t first_timestamp          # [ms] of the segment; -1: none
    int64_t idle_ms                  # since the segment was made
    int64_t roll_ms


cdef Run walk_run(
    const uint8_t* data, int64_t position, int64_t size, RunLimits limits) noexcept nogil


# Stores the batches of `data`, the bytes of `records`, from `position` on that have one epoch and
# belong into `segment`; where the run ended.  (position, info) of those that idempotent producers
# made are appended to `of_producers`.  The first is stored in any case: who calls has rolled the
# segment if it had to.  Raises CorruptRecordError where no whole batch with a right CRC stands at
# `position`, or one that ends before the segment does; an OSError leaves everything as it was.
cdef int64_t store_run(
    LogSegment segment, records, const uint8_t* data, int64_t size, int64_t position,
    int64_t now_ms, list of_producers) except -1
