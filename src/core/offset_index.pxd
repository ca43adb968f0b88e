"""The offset index of one segment: where, in bytes, to start reading for an offset."""

from libc.stdint cimport int32_t, int64_t

from .mapped_file cimport MappedFile

cdef enum:
    OFFSET_ENTRY_BYTES = 8


cdef class OffsetIndex:
    cdef readonly MappedFile file
    cdef readonly int64_t base_offset
    cdef readonly int64_t slot_count      # entries written
    cdef readonly int64_t max_slots
    cdef readonly int64_t last_offset     # of the last entry; base_offset when there is none

    # Raises OSError if the disk cannot hold one more entry; IndexFullError if the index cannot.
    cdef int reserve_entry(self) except -1
    cpdef int append_entry(self, int64_t offset, int32_t position) except -1
    # The slot of the last entry with an offset <= `offset`; -1 when there is none.
    cdef int64_t slot_below(self, int64_t offset) except -2
    cdef int64_t offset_at(self, int64_t slot) except? -1
    cdef int64_t position_at(self, int64_t slot) except? -1
