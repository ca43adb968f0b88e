"""What one append did: the batch's header as received and the offsets it was given."""

from libc.stdint cimport int32_t, int64_t

from .record_batch cimport BatchHeader


cdef class AppendInfo:
    cdef BatchHeader header               # as it stands in `records`, before offsets are assigned
    cdef readonly int64_t base_offset     # assigned; -1 before
    cdef readonly int64_t last_offset     # inclusive; -1 before
    cdef readonly int64_t log_append_time_ms  # -1 under CreateTime
    cdef public int64_t log_start_offset
    cdef readonly bint is_duplicate       # nothing was written: the offsets are the first copy's
    cdef readonly int32_t leader_epoch    # assigned; -1 before

    cdef int assign(self, int64_t base_offset, int32_t leader_epoch) except -1
    cdef int point_at_original(self, int64_t base_offset, int64_t last_offset) except -1


# The sequence number `count` steps on, wrapping from 2147483647 to 0.
cdef int32_t sequence_after(int32_t sequence, int32_t count) noexcept nogil
# The sequence number `count` steps back, wrapping from 0 to 2147483647.
cdef int32_t sequence_before(int32_t sequence, int32_t count) noexcept nogil
