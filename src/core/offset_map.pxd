"""Where the last record of each key stands: the table behind compaction."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

ctypedef struct MapSlot:
    uint64_t hash_low                # SipHash-2-4-128 of the key, under the map's secret
    uint64_t hash_high
    int64_t offset                   # of the key's last record; -1 in a free slot


cdef class OffsetMap:
    cdef MapSlot* _slots
    cdef int64_t _slot_count         # a power of two
    cdef uint64_t _secret_low
    cdef uint64_t _secret_high
    cdef readonly int64_t entry_count
    cdef readonly int64_t capacity   # entries it takes: 3/4 of its slots
    cdef public int64_t latest_offset    # the last offset that was read into it; -1 for none

    cdef MapSlot* _find_slot(self, const uint8_t* key, int64_t size) noexcept nogil
    cdef void _put_key(self, const uint8_t* key, int64_t size, int64_t offset) noexcept nogil
