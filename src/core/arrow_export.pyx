"""Records as an Arrow stream, for any library that speaks the PyCapsule interface.

    COLUMN      TYPE                  NULL
    partition   int32                 never
    offset      int64                 never
    timestamp   timestamp[ms, UTC]    never
    key         large_binary          where the record has none
    value       large_binary          where the record has none

Offsets and timestamps are the columns that were read; keys and values are packed once, since
records have their framing between them.  No Arrow library is needed here.  Memory: each array
holds the Python objects whose bytes it shows until the receiver releases it.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EIO
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from .arrow_abi cimport ARROW_NULLABLE, ArrowArray, ArrowArrayStream, ArrowSchema

ARROW_COLUMNS = ("partition", "offset", "timestamp", "key", "value")

cdef enum:
    COLUMN_COUNT = 5
    MAX_BUFFERS = 3

cdef const char** NAMES = [b"partition", b"offset", b"timestamp", b"key", b"value"]
cdef const char** FORMATS = [b"i", b"l", b"tsm:UTC", b"Z", b"Z"]


cdef class StreamState:
    """What one stream goes through."""


def export_arrow_stream(batches):
    """A capsule `arrow_array_stream` of (partition, BatchColumns) pairs, taken as it is read.

    An exception that `batches` raises reaches the reader as its own kind of error, with the words.
    """
    cdef StreamState state = StreamState()
    state.batches = iter(batches)
    state.last_error = b""
    cdef ArrowArrayStream* stream = <ArrowArrayStream*>calloc(1, sizeof(ArrowArrayStream))
    if stream == NULL:
        raise MemoryError
    stream.get_schema = get_schema
    stream.get_next = get_next
    stream.get_last_error = get_last_error
    stream.release = release_stream
    stream.private_data = <void*>state
    Py_INCREF(state)
    return PyCapsule_New(stream, "arrow_array_stream", drop_stream_capsule)


def export_arrow_schema():
    """A capsule `arrow_schema`: the columns above."""
    cdef ArrowSchema* schema = <ArrowSchema*>calloc(1, sizeof(ArrowSchema))
    if schema == NULL:
        raise MemoryError
    export_schema(schema)
    return PyCapsule_New(schema, "arrow_schema", drop_schema_capsule)


cdef void drop_stream_capsule(object capsule) noexcept:
    cdef ArrowArrayStream* stream = <ArrowArrayStream*>PyCapsule_GetPointer(
        capsule, "arrow_array_stream")
    if stream.release != NULL:
        stream.release(stream)
    free(stream)


cdef void drop_schema_capsule(object capsule) noexcept:
    cdef ArrowSchema* schema = <ArrowSchema*>PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


cdef int get_schema(ArrowArrayStream* stream, ArrowSchema* schema) noexcept with gil:
    cdef StreamState state = <StreamState>stream.private_data
    try:
        export_schema(schema)
    except BaseException as error:
        state.last_error = words_of(error)
        return EIO
    return 0


cdef int get_next(ArrowArrayStream* stream, ArrowArray* array) noexcept with gil:
    cdef StreamState state = <StreamState>stream.private_data
    memset(array, 0, sizeof(ArrowArray))
    try:
        for partition, columns in state.batches:
            export_columns(array, partition, columns)
            break
    except BaseException as error:
        if array.release != NULL:
            array.release(array)
        state.last_error = words_of(error)
        return EIO
    return 0


cdef const char* get_last_error(ArrowArrayStream* stream) noexcept with gil:
    return (<StreamState>stream.private_data).last_error


cdef void release_stream(ArrowArrayStream* stream) noexcept with gil:
    stream.release = NULL
    Py_DECREF(<object>stream.private_data)


cdef bytes words_of(error):
    return f"{type(error).__name__}: {error}".encode("utf-8", "replace")


cdef int export_schema(ArrowSchema* schema) except -1:
    """Fill in the schema of the whole; the receiver releases it."""
    cdef int index
    memset(schema, 0, sizeof(ArrowSchema))
    schema.children = <ArrowSchema**>calloc(COLUMN_COUNT, sizeof(ArrowSchema*))
    if schema.children == NULL:
        raise MemoryError
    schema.release = release_schema
    schema.format = b"+s"
    schema.name = b""
    for index in range(COLUMN_COUNT):
        schema.children[index] = <ArrowSchema*>calloc(1, sizeof(ArrowSchema))
        if schema.children[index] == NULL:
            release_schema(schema)
            raise MemoryError
        schema.n_children = index + 1
        schema.children[index].format = FORMATS[index]
        schema.children[index].name = NAMES[index]
        schema.children[index].flags = ARROW_NULLABLE if index > 2 else 0
        schema.children[index].release = release_schema
    return 0


cdef void release_schema(ArrowSchema* schema) noexcept nogil:
    cdef int64_t index
    for index in range(schema.n_children):
        if schema.children[index].release != NULL:
            schema.children[index].release(schema.children[index])
        free(schema.children[index])
    free(schema.children)
    schema.release = NULL


cdef int export_columns(ArrowArray* array, int partition, object columns) except -1:
    """Fill in one batch of rows; the receiver releases it."""
    cdef int64_t count = len(columns)
    cdef int index
    sources = (
        (partition_column(partition, count), None, None),
        (columns.offsets, None, None),
        (columns.timestamps, None, None),
        binary_column(columns.packed_keys(), columns.key_lengths),
        binary_column(columns.packed_values(), columns.value_lengths),
    )
    start_array(array, count, COLUMN_COUNT)
    array.n_buffers = 1
    for index in range(COLUMN_COUNT):
        array.children[index] = <ArrowArray*>calloc(1, sizeof(ArrowArray))
        if array.children[index] == NULL:
            release_array(array)
            raise MemoryError
        array.n_children = index + 1
        fill_child(array.children[index], count, sources[index])
    return 0


cdef int start_array(ArrowArray* array, int64_t count, int child_count) except -1:
    memset(array, 0, sizeof(ArrowArray))
    array.buffers = <const void**>calloc(MAX_BUFFERS, sizeof(void*))
    if child_count:
        array.children = <ArrowArray**>calloc(child_count, sizeof(ArrowArray*))
    if array.buffers == NULL or (child_count and array.children == NULL):
        free(array.buffers)
        free(array.children)
        raise MemoryError
    array.length = count
    array.release = release_array
    return 0


cdef int fill_child(ArrowArray* child, int64_t count, tuple source) except -1:
    """`source`: (first buffer behind the bitmap, the next one or None, bitmap or None)."""
    first, second, validity = source
    start_array(child, count, 0)
    child.null_count = 0 if validity is None else -1
    child.buffers[0] = NULL if validity is None else address_of(validity)
    child.buffers[1] = address_of(first)
    child.n_buffers = 2
    if second is not None:
        child.buffers[2] = address_of(second)
        child.n_buffers = 3
    child.private_data = <void*>source
    Py_INCREF(source)
    return 0


cdef void release_array(ArrowArray* array) noexcept nogil:
    cdef int64_t index
    for index in range(array.n_children):
        if array.children[index].release != NULL:
            array.children[index].release(array.children[index])
        free(array.children[index])
    free(array.children)
    free(array.buffers)
    array.release = NULL
    if array.private_data != NULL:
        with gil:
            Py_DECREF(<object>array.private_data)


cdef void* address_of(object source) except? NULL:
    """Where the bytes lie: of a bytearray that nobody resizes, or of a column's view."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(source, &buffer, PyBUF_SIMPLE)
    cdef void* address = buffer.buf
    PyBuffer_Release(&buffer)
    return address


cdef bytearray partition_column(int32_t partition, int64_t count):
    cdef bytearray column = bytearray(4 * count)
    cdef int32_t* to = <int32_t*>PyByteArray_AS_STRING(column)
    cdef int64_t index
    for index in range(count):
        to[index] = partition
    return column


cdef tuple binary_column(tuple packed, object lengths):
    """(offsets, data, bitmap or None) of a large_binary column."""
    data, offsets = packed
    return offsets, data, validity_of(lengths)


cdef bytearray validity_of(const int64_t[::1] lengths):
    """Arrow's bitmap, None where nothing is null."""
    cdef Py_ssize_t count = lengths.shape[0], index
    cdef bint has_null = False
    for index in range(count):
        has_null |= lengths[index] < 0
    if not has_null:
        return None
    cdef bytearray bitmap = bytearray((count + 7) // 8)
    cdef uint8_t* bits = <uint8_t*>PyByteArray_AS_STRING(bitmap)
    for index in range(count):
        if lengths[index] >= 0:
            bits[index >> 3] |= 1 << (index & 7)
    return bitmap
