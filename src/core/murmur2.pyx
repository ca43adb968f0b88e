"""Murmur2 as Kafka's clients hash keys: the same key goes to the same partition from any of them.

The hash is Austin Appleby's MurmurHash2 (32 bits) with Kafka's seed; the partition is the hash
without its sign bit, modulo the number of partitions (Kafka's `BuiltInPartitioner`).
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

cdef enum:
    SEED = 0x9747B28C
    MULTIPLIER = 0x5BD1E995
    SHIFT = 24
    WITHOUT_SIGN = 0x7FFFFFFF


cdef uint32_t murmur2_of(const uint8_t* p, int64_t size) noexcept nogil:
    cdef uint32_t hashed = <uint32_t>SEED ^ <uint32_t>size
    cdef uint32_t word
    # Invariant: the whole words before p are mixed in.
    while size >= 4:
        word = p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24
        word *= <uint32_t>MULTIPLIER
        word ^= word >> SHIFT
        word *= <uint32_t>MULTIPLIER
        hashed = hashed * <uint32_t>MULTIPLIER ^ word
        p += 4
        size -= 4
    if size:
        word = p[0]
        if size > 1:
            word |= <uint32_t>p[1] << 8
        if size > 2:
            word |= <uint32_t>p[2] << 16
        hashed = (hashed ^ word) * <uint32_t>MULTIPLIER
    hashed = (hashed ^ hashed >> 13) * <uint32_t>MULTIPLIER
    return hashed ^ hashed >> 15


def murmur2(key) -> int:
    """The hash of `key`'s bytes, signed as Java prints it."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
    try:
        return <int32_t>murmur2_of(<const uint8_t*>buffer.buf, buffer.len)
    finally:
        PyBuffer_Release(&buffer)


def partition_for_key(key, int32_t partition_count) -> int:
    """Where Kafka's clients send `key`; raises TypeError for what is not bytes-like."""
    cdef Py_buffer buffer
    if partition_count < 1:
        raise ValueError(f"{partition_count} partitions: there is at least one")
    PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
    try:
        return (murmur2_of(<const uint8_t*>buffer.buf, buffer.len) & WITHOUT_SIGN) % partition_count
    finally:
        PyBuffer_Release(&buffer)
