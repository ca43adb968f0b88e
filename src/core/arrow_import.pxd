"""Columns of any Arrow library, encoded as record batches where they lie."""

from libc.stdint cimport int64_t

from .arrow_abi cimport ArrowArray, ArrowArrayStream, ArrowSchema
from .batch_encoder cimport Column, HeaderColumn


cdef class ArrowReader:
    cdef object _capsule             # keeps the stream, or the array, alive
    cdef ArrowArrayStream* _stream   # NULL where one array was given
    cdef ArrowArray* _array          # the one array, until it is taken
    cdef ArrowSchema _schema
    cdef bint _is_struct

    cdef str next_error(self)


cdef class ArrowBatch:
    cdef ArrowArray array            # released with this object
    cdef ArrowReader _reader

    # The place of a column; raises ValueError with the names there are.
    cdef int index_of(self, str name) except -1


cdef class ArrowColumn:
    cdef ArrowBatch _batch           # owns the buffers that `column` points into
    cdef Column column
    cdef readonly str format
    cdef object _pointers            # bytearrays behind a column of views
    cdef ArrowArray* _array

    cdef int fill(self, const ArrowArray* array, str name) except -1
    cdef int fill_views(self, const ArrowArray* array, int64_t start, str name) except -1
    cdef Column slice(self, int64_t start, int64_t end) noexcept


cdef class ArrowHeaders:
    cdef ArrowBatch _batch           # owns the buffers that `headers` points into
    cdef HeaderColumn headers
    cdef readonly int64_t count
    cdef ArrowColumn _names
    cdef ArrowColumn _values
    cdef object _offsets             # a bytearray behind the offsets of chosen rows

    cdef int fill(
        self, const ArrowSchema* schema, const ArrowArray* array, int64_t row_offset, int64_t count,
        str name
    ) except -1
    cdef ArrowColumn part_of(
        self, const ArrowSchema* schema, const ArrowArray* pairs, int index, str name
    )
