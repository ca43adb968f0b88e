"""One record of a RecordBatch: C fields that point into it, and the object that Python sees."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .varint cimport (
    read_short_varint,
    read_varint,
    read_varlong,
    varint_size,
    write_varint,
)

cdef enum:
    PLAIN_MARGIN = 16

ctypedef struct RecordFields:
    int64_t timestamp_delta      # [ms] from the batch's base_timestamp
    int32_t offset_delta         # from the batch's base_offset
    const uint8_t* key
    int32_t key_size             # [bytes], -1 for a null key
    const uint8_t* value
    int32_t value_size           # [bytes], -1 for a null value
    const uint8_t* headers       # the first header's first byte
    int32_t header_count
    const uint8_t* end           # the byte behind the record


cdef class Record:
    cdef readonly int64_t offset
    cdef readonly int64_t timestamp      # [ms] since the epoch
    cdef readonly bytes key              # None for a null key
    cdef readonly bytes value            # None for a null value (a tombstone)
    cdef readonly tuple headers          # of (str, bytes or None), in order, repeats kept


# True where the headers are well-formed and end exactly where the record does.
cdef bint headers_are_valid(const RecordFields* fields) noexcept nogil
# A Record of its own bytes; raises CorruptRecordError for malformed headers.
cdef Record make_record(const RecordFields* fields, int64_t offset, int64_t timestamp)


cdef extern from *:
    """
    #include <string.h>
    /* memcpy for the sizes of keys and values: no call below 256 bytes, nothing touched outside. */
    static inline void hr_copy_short(uint8_t* to, const uint8_t* from, size_t n) {
        if (n > 256) { memcpy(to, from, n); return; }
        if (n >= 16) {
            size_t i = 0;
            for (; i + 16 < n; i += 16) __builtin_memcpy(to + i, from + i, 16);
            __builtin_memcpy(to + n - 16, from + n - 16, 16);
        } else if (n >= 8) {
            uint64_t a, b;
            __builtin_memcpy(&a, from, 8); __builtin_memcpy(&b, from + n - 8, 8);
            __builtin_memcpy(to, &a, 8); __builtin_memcpy(to + n - 8, &b, 8);
        } else if (n >= 4) {
            uint32_t a, b;
            __builtin_memcpy(&a, from, 4); __builtin_memcpy(&b, from + n - 4, 4);
            __builtin_memcpy(to, &a, 4); __builtin_memcpy(to + n - 4, &b, 4);
        } else if (n) {
            to[0] = from[0]; to[n >> 1] = from[n >> 1]; to[n - 1] = from[n - 1];
        }
    }
    """
    void hr_copy_short(uint8_t* to, const uint8_t* source, size_t size) noexcept nogil


cdef inline int64_t record_body_size(
    int64_t timestamp_delta, int64_t offset_delta, int64_t key_size, int64_t value_size,
    int64_t header_count, int64_t header_bytes
) noexcept nogil:
    """What a record's length field says; `header_bytes` counts what follows header_count."""
    cdef int64_t size = 1 + varint_size(timestamp_delta) + varint_size(offset_delta)
    size += varint_size(key_size) + (key_size if key_size > 0 else 0)
    size += varint_size(value_size) + (value_size if value_size > 0 else 0)
    return size + varint_size(header_count) + header_bytes


cdef inline uint8_t* write_blob(uint8_t* p, const uint8_t* source, int64_t size) noexcept nogil:
    """A varint length and the bytes (only the length where it is -1); the byte behind them."""
    p = write_varint(p, size)
    if size > 0:
        hr_copy_short(p, source, size)
        p += size
    return p


cdef inline uint8_t* write_record(
    uint8_t* p, int64_t body_size, int64_t timestamp_delta, int64_t offset_delta,
    const uint8_t* key, int64_t key_size, const uint8_t* value, int64_t value_size,
    int64_t header_count
) noexcept nogil:
    """Store a record up to its headers at `p`, which has room for it; the byte behind it."""
    p = write_varint(p, body_size)
    p[0] = 0
    p = write_varint(p + 1, timestamp_delta)
    p = write_varint(p, offset_delta)
    p = write_blob(p, key, key_size)
    p = write_blob(p, value, value_size)
    return write_varint(p, header_count)


cdef inline const uint8_t* read_record(
    const uint8_t* p, const uint8_t* end, RecordFields* fields
) noexcept nogil:
    """Read the record at `p` up to its headers; the next record's first byte, or NULL.

    NULL means that the bytes are no record.  The pointers in `fields` live as long as the bytes.
    """
    # Every length is held against what is left before the pointer moves over it.
    cdef int32_t length = 0
    p = read_varint(p, end, &length)
    if p == NULL or length < 1 or length > end - p:
        return NULL
    end = p + length
    fields.end = end
    p = read_varlong(p + 1, end, &fields.timestamp_delta)
    if p == NULL:
        return NULL
    p = read_varint(p, end, &fields.offset_delta)
    if p == NULL:
        return NULL
    p = read_varint(p, end, &fields.key_size)
    if p == NULL or fields.key_size < -1 or fields.key_size > end - p:
        return NULL
    fields.key = p
    if fields.key_size > 0:
        p += fields.key_size
    p = read_varint(p, end, &fields.value_size)
    if p == NULL or fields.value_size < -1 or fields.value_size > end - p:
        return NULL
    fields.value = p
    if fields.value_size > 0:
        p += fields.value_size
    p = read_varint(p, end, &fields.header_count)
    # A header takes two bytes at least, so this bounds the count before anything is made of it.
    if p == NULL or fields.header_count < 0 or fields.header_count > (end - p) >> 1:
        return NULL
    if fields.header_count == 0 and p != end:
        return NULL
    fields.headers = p
    return end


cdef inline const uint8_t* read_plain_record(
    const uint8_t* p, const uint8_t* end, RecordFields* fields
) noexcept nogil:
    """`read_record` for the usual case, in half the time: no headers, varints of 1 to 3 bytes.

    NULL where the record is none of those, or is not followed by a few more bytes: ask
    `read_record` then.  Key and value pointers are not set.
    """
    cdef int64_t length = 0, offset_delta = 0, size = 0
    if end - p < PLAIN_MARGIN:
        return NULL
    p = read_short_varint(p, &length)
    # Whatever a varint below reads past the record is within the PLAIN_MARGIN behind it.
    if p == NULL or length < 6 or length > end - p - PLAIN_MARGIN:
        return NULL
    end = p + length
    p = read_short_varint(p + 1, &fields.timestamp_delta)
    if p == NULL:
        return NULL
    p = read_short_varint(p, &offset_delta)
    if p == NULL:
        return NULL
    p = read_short_varint(p, &size)
    if p == NULL or size < -1 or size > end - p:
        return NULL
    fields.key_size = <int32_t>size
    p = read_short_varint(p + (size if size > 0 else 0), &size)
    if p == NULL or size < -1 or size > end - p:
        return NULL
    fields.value_size = <int32_t>size
    p += size if size > 0 else 0
    if p + 1 != end or p[0] != 0:
        return NULL
    fields.offset_delta = <int32_t>offset_delta
    fields.header_count = 0
    return end
