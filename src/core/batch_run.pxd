"""Batches of one leader epoch, stored in one piece as they are: how a follower appends."""

from libc.stdint cimport int32_t, int64_t

from .record_batch cimport BatchHeader


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
    const unsigned char* data, int64_t position, int64_t size, RunLimits limits) noexcept nogil
