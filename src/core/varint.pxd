"""Zigzag varints as Kafka's records use them, inlined into the modules that cimport them.

Seven bits a byte, lowest first, the high bit set on all but the last; the sign goes to bit 0,
so that small negative numbers stay short.  Lengths, counts and offset deltas are 32 bits wide (at
most 5 bytes), timestamp deltas 64 (at most 10).  Source: Kafka docs "Message Format", "Varint".
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    static inline int hr_bit_width(uint64_t v) { return 64 - __builtin_clzll(v | 1); }
    """
    int hr_bit_width(uint64_t v) noexcept nogil


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int varint_size(int64_t value) noexcept nogil:
    """How many bytes `write_varint` takes for `value`: 1 to 10."""
    return (hr_bit_width(zigzag(value)) * 9 + 64) >> 6


cdef inline uint8_t* write_varint(uint8_t* p, int64_t value) noexcept nogil:
    """Store `value` at `p`, which has `varint_size(value)` bytes; return the byte behind it."""
    cdef uint64_t rest = zigzag(value)
    while rest >= 128:
        p[0] = <uint8_t>(rest | 128)
        rest >>= 7
        p += 1
    p[0] = <uint8_t>rest
    return p + 1


cdef inline const uint8_t* read_varlong(
    const uint8_t* p, const uint8_t* end, int64_t* value
) noexcept nogil:
    """Load a 64-bit varint from `p`; the byte behind it, or NULL if cut off or too long."""
    cdef uint64_t folded = 0
    cdef int shift = 0
    while p < end and shift < 70:
        folded |= <uint64_t>(p[0] & 127) << shift
        if p[0] < 128:
            if shift == 63 and p[0] > 1:
                return NULL
            value[0] = <int64_t>(folded >> 1) ^ -<int64_t>(folded & 1)
            return p + 1
        p += 1
        shift += 7
    return NULL


cdef inline const uint8_t* read_varint(
    const uint8_t* p, const uint8_t* end, int32_t* value
) noexcept nogil:
    """Load a 32-bit varint from `p`; the byte behind it, or NULL if cut off or too long."""
    cdef uint64_t folded = 0
    cdef int shift = 0
    while p < end and shift < 35:
        folded |= <uint64_t>(p[0] & 127) << shift
        if p[0] < 128:
            if folded > <uint64_t>0xFFFFFFFF:
                return NULL
            value[0] = <int32_t>(<uint32_t>folded >> 1) ^ -<int32_t>(folded & 1)
            return p + 1
        p += 1
        shift += 7
    return NULL


cdef inline const uint8_t* read_short_varint(const uint8_t* p, int64_t* value) noexcept nogil:
    """Load a varint of up to three bytes, all of which may be read; NULL if it is longer."""
    cdef uint64_t folded = p[0]
    if folded >= 128:
        folded = (folded & 127) | <uint64_t>(p[1] & 127) << 7
        if p[1] >= 128:
            if p[2] >= 128:
                return NULL
            folded |= <uint64_t>p[2] << 14
            p += 1
        p += 1
    value[0] = <int64_t>(folded >> 1) ^ -<int64_t>(folded & 1)
    return p + 1
