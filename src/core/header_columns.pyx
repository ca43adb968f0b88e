"""The headers of records as columns, for Arrow: read once, where a record has any.

A record's headers follow its value: their count, and for each a name and a value, either with its
length in front.  `read_columns` has checked that they are well-formed.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from .batch_columns cimport VALUE_STARTS, BatchColumns
from .varint cimport read_varint

from .errors import CorruptRecordError

cdef struct Pair:
    const uint8_t* name
    int32_t name_size
    const uint8_t* value
    int32_t value_size               # -1: null


cdef inline const uint8_t* read_pair(
    const uint8_t* p, const uint8_t* end, Pair* pair
) noexcept nogil:
    """The header at `p`; the byte behind it, or NULL where it leaves the records."""
    p = read_varint(p, end, &pair.name_size)
    if p == NULL or pair.name_size < 0 or pair.name_size > end - p:
        return NULL
    pair.name = p
    p = read_varint(p + pair.name_size, end, &pair.value_size)
    if p == NULL or pair.value_size < -1 or pair.value_size > end - p:
        return NULL
    pair.value = p
    return p + pair.value_size if pair.value_size > 0 else p


cdef inline const uint8_t* first_pair(
    const uint8_t* value, int64_t size, const uint8_t* end, int32_t* count
) noexcept nogil:
    """Where the headers behind this value start, and how many they are; NULL if outside."""
    return read_varint(value + size if size > 0 else value, end, count)


@cython.final
cdef class HeaderColumns:
    """See the contract; made by `headers_of`."""

    cdef int count_pairs(
        self, BatchColumns columns, int64_t* name_bytes, int64_t* value_bytes
    ) except -1:
        """Fill in `lists`, and say how much room names and values take."""
        cdef const uint8_t* base = <const uint8_t*>columns._data.buf
        cdef const uint8_t* end = base + columns._data.len
        cdef const int64_t* starts = columns.column(VALUE_STARTS)
        cdef const int64_t* sizes = columns.column(VALUE_STARTS + 1)
        cdef const uint8_t* p = end
        cdef int32_t* lists = <int32_t*>PyByteArray_AS_STRING(self.lists)
        cdef int64_t row
        cdef int32_t count = 0, _i
        cdef Pair pair
        name_bytes[0] = value_bytes[0] = 0
        lists[0] = 0
        with nogil:
            # Before each step, the headers of the records below `row` are counted.
            for row in range(columns.record_count):
                p = first_pair(base + starts[row], sizes[row], end, &count)
                for _i in range(count):
                    p = read_pair(p, end, &pair) if p != NULL else NULL
                    if p == NULL:
                        break
                    name_bytes[0] += pair.name_size
                    value_bytes[0] += pair.value_size if pair.value_size > 0 else 0
                if p == NULL:
                    break
                self.pair_count += count
                lists[row + 1] = <int32_t>self.pair_count
        if p == NULL:
            raise CorruptRecordError("the headers of a record leave its batch")
        if max(name_bytes[0], value_bytes[0]) > INT32_MAX:
            raise ValueError("the headers take more than 2 GiB: read fewer records at once")
        return 0

    cdef int fill(self, BatchColumns columns) except -1:
        """Copy names and values to their places; `count_pairs` made the room."""
        cdef const uint8_t* base = <const uint8_t*>columns._data.buf
        cdef const uint8_t* end = base + columns._data.len
        cdef const int64_t* starts = columns.column(VALUE_STARTS)
        cdef const int64_t* sizes = columns.column(VALUE_STARTS + 1)
        cdef const uint8_t* p
        cdef int32_t* name_offsets = <int32_t*>PyByteArray_AS_STRING(self.name_offsets)
        cdef int32_t* value_offsets = <int32_t*>PyByteArray_AS_STRING(self.value_offsets)
        cdef uint8_t* names = <uint8_t*>PyByteArray_AS_STRING(self.names)
        cdef uint8_t* values = <uint8_t*>PyByteArray_AS_STRING(self.values)
        cdef uint8_t* bits = <uint8_t*>PyByteArray_AS_STRING(self.validity)
        cdef int64_t row, at = 0, size
        cdef int32_t count = 0, _i
        cdef Pair pair
        name_offsets[0] = value_offsets[0] = 0
        memset(bits, 0xFF, len(self.validity))
        with nogil:
            for row in range(columns.record_count):
                p = first_pair(base + starts[row], sizes[row], end, &count)
                for _i in range(count):
                    p = read_pair(p, end, &pair)
                    size = pair.value_size
                    if size < 0:
                        bits[at >> 3] &= ~(1 << (at & 7))
                        self.null_count += 1
                        size = 0
                    memcpy(names + name_offsets[at], pair.name, pair.name_size)
                    memcpy(values + value_offsets[at], pair.value, size)
                    name_offsets[at + 1] = name_offsets[at] + pair.name_size
                    value_offsets[at + 1] = <int32_t>(value_offsets[at] + size)
                    at += 1
        return 0


cdef HeaderColumns headers_of(BatchColumns columns):
    cdef HeaderColumns found
    cdef int64_t name_bytes, value_bytes, count
    if not columns.has_headers:
        return None
    found = HeaderColumns.__new__(HeaderColumns)
    found.lists = PyByteArray_FromStringAndSize(NULL, 4 * (columns.record_count + 1))
    found.count_pairs(columns, &name_bytes, &value_bytes)
    count = found.pair_count
    found.name_offsets = PyByteArray_FromStringAndSize(NULL, 4 * (count + 1))
    found.value_offsets = PyByteArray_FromStringAndSize(NULL, 4 * (count + 1))
    found.names = PyByteArray_FromStringAndSize(NULL, name_bytes)
    found.values = PyByteArray_FromStringAndSize(NULL, value_bytes)
    found.validity = PyByteArray_FromStringAndSize(NULL, (count + 7) >> 3)
    found.fill(columns)
    return found
