"""CRC-32C (Castagnoli), the checksum of record batches and of our own journals."""

from libc.stdint cimport uint8_t, uint32_t


# Continues `crc` (0 to start) over `size` bytes at `p`; safe from any thread.
cdef uint32_t crc32c_update(uint32_t crc, const uint8_t* p, size_t size) noexcept nogil
