"""One record of a RecordBatch: C fields that point into it, and the object that Python sees."""

from libc.stdint cimport int32_t, int64_t, uint8_t

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


# Reads the record at `p` up to its headers; the next record's first byte, or NULL where the bytes
# are no record.  The pointers in `fields` live as long as the bytes do.
cdef const uint8_t* read_record(
    const uint8_t* p, const uint8_t* end, RecordFields* fields) noexcept nogil
# True where the headers are well-formed and end exactly where the record does.
cdef bint headers_are_valid(const RecordFields* fields) noexcept nogil
# A Record of its own bytes; raises CorruptRecordError for malformed headers.
cdef Record make_record(const RecordFields* fields, int64_t offset, int64_t timestamp)
# The bytes a record takes with its length prefix; `header_bytes` counts what follows the count.
cdef int64_t record_size(
    int64_t timestamp_delta, int32_t offset_delta, int64_t key_size, int64_t value_size,
    int32_t header_count, int64_t header_bytes) noexcept nogil
