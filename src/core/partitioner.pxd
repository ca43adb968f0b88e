"""Which partition a record goes to, as Kafka's clients choose it."""

from libc.stdint cimport int32_t, int64_t


cdef class Partitioner:
    cdef int32_t _partition_count
    cdef int32_t _sticky             # the partition that is being filled
    cdef int64_t _sticky_bytes

    cpdef int32_t partition_of(self, object key, int64_t size_bytes) except -1
