"""Reads a segment batch by batch after a crash: how far it is whole, and what follows."""

from libc.stdint cimport int64_t, uint8_t

from .record_batch cimport BatchHeader


cdef class SegmentScan:
    cdef readonly int64_t valid_bytes     # the batches before this byte are whole
    cdef readonly int64_t next_offset     # behind the last of them
    cdef readonly int64_t cut_bytes       # from valid_bytes to the last byte that is not zero
    cdef readonly str kind                # WHOLE, RESERVED, TORN, DAMAGED, LOST_PAGES, CORRUPT
    cdef readonly str reason              # what is wrong with the batch at valid_bytes
    cdef readonly int64_t intact_position  # of the next whole batch behind it; -1


# The position of the first whole batch (CRC too) in data[start:size] with an offset of at least
# `offset` and at most 2**31 above it; -1 if there is none.
cdef int64_t find_intact_batch(
    const uint8_t* data, int64_t start, int64_t size, int64_t offset
) noexcept nogil
# Whether a page of data[start:end], or its part behind `start`, never reached the disk: it is zeros
# where a batch at `offset` was expected.
cdef bint has_lost_page(
    const uint8_t* data, int64_t start, int64_t end, int64_t offset
) noexcept nogil
cdef bint is_zero(const uint8_t* data, int64_t count) noexcept nogil
