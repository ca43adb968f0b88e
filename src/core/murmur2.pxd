"""Murmur2 as Kafka's clients hash keys, to choose a partition."""

from libc.stdint cimport int64_t, uint8_t, uint32_t


# The 32-bit hash of `size` bytes at `p`; safe from any thread.
cdef uint32_t murmur2_of(const uint8_t* p, int64_t size) noexcept nogil
