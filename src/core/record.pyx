"""One record inside a RecordBatch v2.

    FIELD            TYPE     MEANING
    length           varint   bytes that follow
    attributes       int8     unused, 0
    timestamp_delta  varlong  [ms] from base_timestamp
    offset_delta     varint   from base_offset
    key_length       varint   -1 for null, then that many bytes
    value_length     varint   -1 for null, then that many bytes
    header_count     varint   then per header: key length, key (UTF-8), value length (-1: null),
                              value

Source: Kafka docs "Message Format", "Record".
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint8_t

from .varint cimport read_varint

from .errors import CorruptRecordError


@cython.final
@cython.freelist(256)
cdef class Record:
    """What one consumer sees of one record; it owns its bytes and never changes."""

    def __init__(self, offset, timestamp, key, value, headers=()):
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self.value = value
        self.headers = headers

    def __repr__(self):
        return (
            f"Record(offset={self.offset}, timestamp={self.timestamp}, key={self.key!r}, "
            f"value={self.value!r}, headers={self.headers!r})"
        )

    def __eq__(self, other):
        if not isinstance(other, Record):
            return NotImplemented
        return self._facts() == (<Record>other)._facts()

    def __hash__(self):
        return hash(self._facts())

    def _facts(self):
        return self.offset, self.timestamp, self.key, self.value, self.headers


cdef const uint8_t* read_header(
    const uint8_t* p, const uint8_t* end, const uint8_t** key, int32_t* key_size,
    const uint8_t** value, int32_t* value_size
) noexcept nogil:
    p = read_varint(p, end, key_size)
    if p == NULL or key_size[0] < 0 or key_size[0] > end - p:
        return NULL
    key[0] = p
    p = read_varint(p + key_size[0], end, value_size)
    if p == NULL or value_size[0] < -1 or value_size[0] > end - p:
        return NULL
    value[0] = p
    return p + value_size[0] if value_size[0] > 0 else p


cdef bint headers_are_valid(const RecordFields* fields) noexcept nogil:
    cdef const uint8_t* p = fields.headers
    cdef const uint8_t* key = NULL
    cdef const uint8_t* value = NULL
    cdef int32_t key_size = 0, value_size = 0, _i
    for _i in range(fields.header_count):
        p = read_header(p, fields.end, &key, &key_size, &value, &value_size)
        if p == NULL:
            return False
    return p == fields.end


cdef Record make_record(const RecordFields* fields, int64_t offset, int64_t timestamp):
    cdef Record record = Record.__new__(Record)
    record.offset = offset
    record.timestamp = timestamp
    if fields.key_size >= 0:
        record.key = PyBytes_FromStringAndSize(<const char*>fields.key, fields.key_size)
    if fields.value_size >= 0:
        record.value = PyBytes_FromStringAndSize(<const char*>fields.value, fields.value_size)
    record.headers = make_headers(fields) if fields.header_count else ()
    return record


cdef tuple make_headers(const RecordFields* fields):
    cdef const uint8_t* p = fields.headers
    cdef const uint8_t* key = NULL
    cdef const uint8_t* value = NULL
    cdef int32_t key_size = 0, value_size = 0, i
    headers = []
    for i in range(fields.header_count):
        p = read_header(p, fields.end, &key, &key_size, &value, &value_size)
        if p == NULL:
            raise CorruptRecordError(f"header {i} of a record runs past the record's end")
        # A key that is no UTF-8 is kept readable rather than refused: Kafka's brokers do not look.
        headers.append((
            PyUnicode_DecodeUTF8(<char*>key, key_size, "replace"),
            None if value_size < 0 else PyBytes_FromStringAndSize(<const char*>value, value_size),
        ))
    if p != fields.end:
        raise CorruptRecordError("a record is longer than its headers")
    return tuple(headers)
