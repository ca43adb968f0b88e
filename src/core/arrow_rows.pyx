"""Which partition each row of Arrow columns goes to, and columns of some rows of others, uncopied.

A column of chosen rows points where its elements lie, and keeps the batch that they are in.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from .arrow_import cimport ArrowColumn, ArrowHeaders
from .batch_encoder cimport Column, POINTERS_COLUMN, column_element, pairs_of
from .murmur2 cimport murmur2_of

cdef enum:
    WITHOUT_SIGN = 0x7FFFFFFF


def rows_by_partition(
    ArrowColumn keys not None, int32_t partition_count, int32_t without_key
) -> dict[int, bytearray]:
    """The rows of each partition that gets some, as int64 in their order, by murmur2 of the key.

    Rows whose key is null go to the partition `without_key`.
    """
    cdef const uint8_t* start = NULL
    cdef int64_t count = keys.column.count, size, i
    cdef bytearray chosen = PyByteArray_FromStringAndSize(NULL, 4 * count)
    cdef int32_t* partitions = <int32_t*>PyByteArray_AS_STRING(chosen)
    cdef bytearray counted = bytearray(8 * partition_count)
    cdef int64_t* counts = <int64_t*>PyByteArray_AS_STRING(counted)
    cdef int64_t* rows
    cdef int32_t partition
    for i in range(count):
        size = column_element(&keys.column, i, &start)
        partition = without_key
        if size >= 0:
            partition = <int32_t>(murmur2_of(start, size) & WITHOUT_SIGN) % partition_count
        partitions[i] = partition
        counts[partition] += 1
    found = {}
    for partition in range(partition_count):
        if counts[partition]:
            of_one = PyByteArray_FromStringAndSize(NULL, 8 * counts[partition])
            rows = <int64_t*>PyByteArray_AS_STRING(of_one)
            for i in range(count):
                if partitions[i] == partition:
                    rows[0] = i
                    rows += 1
            found[partition] = of_one
    return found


def take_rows(ArrowColumn column not None, rows) -> ArrowColumn:
    """A column of these rows (int64) of `column`; raises IndexError for one that is not there."""
    cdef ArrowColumn taken = ArrowColumn.__new__(ArrowColumn)
    cdef Py_buffer chosen
    taken._batch = column._batch
    taken.format = column.format
    taken._array = column._array
    PyObject_GetBuffer(rows, &chosen, PyBUF_SIMPLE)
    try:
        fill_taken(
            taken, &column.column, <const int64_t*>chosen.buf, chosen.len // 8)
    finally:
        PyBuffer_Release(&chosen)
    taken._pointers = (taken._pointers, column._pointers)
    return taken


cdef int fill_taken(
    ArrowColumn taken, const Column* column, const int64_t* rows, int64_t count
) except -1:
    cdef bytearray room = PyByteArray_FromStringAndSize(NULL, 16 * count + 16)
    cdef const uint8_t** starts = <const uint8_t**>PyByteArray_AS_STRING(room)
    cdef int64_t* sizes = <int64_t*>(starts + count)
    cdef const uint8_t* start = NULL
    cdef int64_t i
    for i in range(count):
        if not 0 <= rows[i] < column.count:
            raise IndexError(f"row {rows[i]} of {column.count}")
        sizes[i] = column_element(column, rows[i], &start)
        starts[i] = start
    memset(&taken.column, 0, sizeof(Column))
    taken.column.kind = POINTERS_COLUMN
    taken.column.count = count
    taken.column.starts = starts
    taken.column.sizes = sizes
    taken._pointers = room
    return 0


def take_headers(ArrowHeaders headers not None, rows) -> ArrowHeaders:
    """The headers of these rows (int64); raises IndexError for one that is not there, ValueError
    for offsets that lead outside."""
    cdef ArrowHeaders taken = ArrowHeaders.__new__(ArrowHeaders)
    cdef list pairs = []
    cdef int64_t end = 0, first, pair, i
    cdef bytearray offsets
    cdef int64_t* ends
    cdef Py_buffer chosen
    PyObject_GetBuffer(rows, &chosen, PyBUF_SIMPLE)
    try:
        taken.count = chosen.len // 8
        offsets = PyByteArray_FromStringAndSize(NULL, 8 * taken.count + 8)
        ends = <int64_t*>PyByteArray_AS_STRING(offsets)
        ends[0] = 0
        for i in range(taken.count):
            if not 0 <= (<const int64_t*>chosen.buf)[i] < headers.count:
                raise IndexError(f"row {(<const int64_t*>chosen.buf)[i]} of {headers.count}")
            first = pairs_of(&headers.headers, (<const int64_t*>chosen.buf)[i], &end)
            if first < 0 or end < first or end > headers.headers.pair_count:
                raise ValueError("offsets must not decrease, start below 0 or end behind the data")
            for pair in range(first, end):
                pairs.append(pair)
            ends[i + 1] = len(pairs)
    finally:
        PyBuffer_Release(&chosen)
    taken._batch = headers._batch
    taken._offsets = offsets
    taken.headers.offsets_64 = ends
    taken.headers.pair_count = len(pairs)
    chosen_pairs = _int64s(pairs)
    taken._names = take_rows(headers._names, chosen_pairs)
    taken._values = take_rows(headers._values, chosen_pairs)
    taken.headers.names = taken._names.column
    taken.headers.values = taken._values.column
    return taken


cdef bytearray _int64s(list numbers):
    cdef bytearray room = PyByteArray_FromStringAndSize(NULL, 8 * len(numbers))
    cdef int64_t* p = <int64_t*>PyByteArray_AS_STRING(room)
    cdef int64_t i
    for i in range(len(numbers)):
        p[i] = numbers[i]
    return room
