"""Whole columns of records -> one RecordBatch: where the bytes of each key and value lie."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef enum ColumnKind:
    NULL_COLUMN                      # every element is null
    FIXED_COLUMN                     # element i starts at data + i * stride, `width` bytes long
    OFFSETS_32_COLUMN                # element i is data[offsets[i]:offsets[i + 1]]
    OFFSETS_64_COLUMN
    POINTERS_COLUMN                  # element i is starts[i], sizes[i] bytes long (-1: null)

ctypedef struct Column:
    ColumnKind kind
    int64_t count
    const uint8_t* data
    int64_t data_bytes               # what the offsets may reach
    int64_t stride
    int64_t width
    const int32_t* offsets_32        # count + 1 of them
    const int64_t* offsets_64
    const uint8_t** starts
    const int64_t* sizes
    const uint8_t* validity          # Arrow's bitmap, bit 0 first; NULL: no element is null
    int64_t validity_start           # the bit of element 0

# The headers of each record, as Arrow keeps a list of (name, value) pairs.
ctypedef struct HeaderColumn:
    const int32_t* offsets_32        # pairs offsets[i] to offsets[i + 1] are record i's
    const int64_t* offsets_64        # the same, wide; one of the two is NULL
    int64_t pair_count               # what the offsets may reach
    const uint8_t* validity          # of the lists; a null one is empty
    int64_t validity_start
    Column names
    Column values


cdef inline int64_t column_element(
    const Column* column, int64_t index, const uint8_t** start
) noexcept nogil:
    """The size of element `index`, -1 for null; its first byte goes to `start`."""
    cdef int64_t bit
    if column.validity != NULL:
        bit = column.validity_start + index
        if not (column.validity[bit >> 3] >> (bit & 7)) & 1:
            return -1
    if column.kind == FIXED_COLUMN:
        start[0] = column.data + index * column.stride
        return column.width
    if column.kind == OFFSETS_32_COLUMN:
        start[0] = column.data + column.offsets_32[index]
        return <int64_t>column.offsets_32[index + 1] - column.offsets_32[index]
    if column.kind == OFFSETS_64_COLUMN:
        start[0] = column.data + column.offsets_64[index]
        return column.offsets_64[index + 1] - column.offsets_64[index]
    if column.kind == POINTERS_COLUMN:
        start[0] = column.starts[index]
        return column.sizes[index]
    return -1


cdef inline int64_t pairs_of(
    const HeaderColumn* headers, int64_t index, int64_t* end
) noexcept nogil:
    """The first header of record `index`, and the one behind its last."""
    cdef int64_t bit = headers.validity_start + index
    if headers.validity != NULL and not (headers.validity[bit >> 3] >> (bit & 7)) & 1:
        end[0] = 0
        return 0
    if headers.offsets_64 != NULL:
        end[0] = headers.offsets_64[index + 1]
        return headers.offsets_64[index]
    end[0] = headers.offsets_32[index + 1]
    return headers.offsets_32[index]


cdef class BinaryColumn:
    cdef Column column               # points into the buffers below
    cdef Py_buffer _data
    cdef Py_buffer _offsets
    cdef Py_buffer _validity
    cdef int _held                   # how many of the three buffers are held


# An upper bound of the bytes of all elements, or -1 where offsets run backwards or outside.
cdef int64_t column_bytes(const Column* column) noexcept nogil
# One finished batch of these columns; `headers` may be NULL, `timestamps` is None or int64.
cdef bytearray encode(
    const Column* values, const Column* keys, const HeaderColumn* headers, int64_t timestamp,
    object timestamps, int64_t base_offset, int32_t leader_epoch, str compression
)
