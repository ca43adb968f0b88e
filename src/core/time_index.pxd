"""The time index of one segment: from which offset on records may be newer than a timestamp."""

from libc.stdint cimport int64_t

from .mapped_file cimport MappedFile

cdef enum:
    TIME_ENTRY_BYTES = 12


cdef class TimeIndex:
    cdef readonly MappedFile file
    cdef readonly int64_t base_offset
    cdef readonly int64_t slot_count
    cdef readonly int64_t max_slots
    cdef readonly int64_t last_timestamp  # [ms] of the last entry; -1 when there is none
    cdef readonly int64_t last_offset     # of the last entry; base_offset when there is none

    # Raises OSError if the disk cannot hold one more entry; IndexFullError if the index cannot.
    cdef int reserve_entry(self) except -1
    # Appends if `timestamp` is above the last one; 1 if it was.
    cpdef int maybe_append(self, int64_t timestamp, int64_t offset) except -1
    # The slot of the last entry with a timestamp <= `timestamp`; -1 when there is none.
    cdef int64_t slot_below(self, int64_t timestamp) except -2
    cdef int64_t timestamp_at(self, int64_t slot) except? -1
    cdef int64_t offset_at(self, int64_t slot) except? -1
