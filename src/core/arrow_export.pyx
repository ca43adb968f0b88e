"""Records as Arrow, for any library that speaks the PyCapsule interface.

    COLUMN      TYPE                          NULL
    partition   int32                         never
    offset      int64                         never
    timestamp   timestamp[ms, UTC]            never
    key         large_binary, or as asked     where the record has none
    value       large_binary, or as asked     where the record has none
    headers     list<struct<key: string,      never; empty where the record has none
                value: binary>>               a header's value may be

Offsets and timestamps are the columns that were read.  Keys and values are packed once as
`large_binary` or `binary`, since records have their framing between them; as `binary_view` they are
not copied: 16 bytes a record point into the records where they lie, in the mapped segment where
batches are uncompressed.  A reader asks for that with `requested_schema`.

No Arrow library is needed here.  Each array holds the Python objects whose bytes it shows, and so
the mapping, until its reader releases it, on whatever thread; a column may be taken out alone.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EIO, ENOMEM
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strcmp

from .arrow_abi cimport ARROW_NULLABLE, ArrowArray, ArrowArrayStream, ArrowSchema, BinaryView
from .batch_columns cimport KEY_STARTS, OFFSETS, TIMESTAMPS, VALUE_STARTS, BatchColumns
from .header_columns cimport HeaderColumns, headers_of
from .record cimport hr_copy_short

cdef extern from "Python.h":
    int Py_IsInitialized() noexcept nogil

cdef enum:
    FIELD_COUNT = 6
    INLINE_BYTES = 12
    # A view counts its place in 31 bits: every such piece of the data is one buffer more.
    PIECE_SHIFT = 30

ARROW_COLUMNS = ("partition", "offset", "timestamp", "key", "value", "headers")
DEFAULT_LAYOUTS = ("large_binary", "large_binary")
LAYOUTS = ("binary_view", "binary", "large_binary")

cdef struct SchemaRoom:
    ArrowSchema fields[FIELD_COUNT]
    ArrowSchema* pointers[FIELD_COUNT]

cdef struct ArrayRoom:
    ArrowArray fields[FIELD_COUNT]
    ArrowArray* pointers[FIELD_COUNT]
    const void* no_buffer

cdef struct ColumnRoom:
    PyObject* owner                  # keeps what `buffers` point to
    const void* buffers[1]           # as many as were asked for

cdef struct NestRoom:
    PyObject* owner
    const void* buffers[2]
    ArrowArray fields[2]             # as many as the array says
    ArrowArray* pointers[2]


def export_arrow_schema(
    str key_layout not None="large_binary", str value_layout not None="large_binary"
):
    """A capsule "arrow_schema" of the fields above; raises ValueError for an unknown layout."""
    cdef ArrowSchema* schema = <ArrowSchema*>allocate(sizeof(ArrowSchema))
    try:
        fill_schema(schema, key_layout, value_layout)
        return PyCapsule_New(schema, "arrow_schema", destroy_schema_capsule)
    except BaseException:
        drop_schema(schema)
        raise


def export_arrow_array(
    int32_t partition, BatchColumns columns not None,
    str key_layout not None="large_binary", str value_layout not None="large_binary"
):
    """A capsule "arrow_array" of the records; raises ValueError for what a layout cannot hold."""
    cdef ArrowArray* array = <ArrowArray*>allocate(sizeof(ArrowArray))
    try:
        lend_records(array, partition, columns, key_layout, value_layout)
        return PyCapsule_New(array, "arrow_array", destroy_array_capsule)
    except BaseException:
        drop_array(array)
        raise


def export_arrow_stream(
    batches, str key_layout not None="large_binary", str value_layout not None="large_binary"
):
    """A capsule "arrow_array_stream" of (partition, BatchColumns) pairs, taken as it is read.

    What the iterable raises reaches the reader as the stream's error.  Raises ValueError for an
    unknown layout.
    """
    cdef StreamState state = StreamState.__new__(StreamState)
    cdef ArrowArrayStream* stream
    arrow_format(key_layout)
    arrow_format(value_layout)
    state.batches = iter(batches)
    state.key_layout = key_layout
    state.value_layout = value_layout
    stream = <ArrowArrayStream*>allocate(sizeof(ArrowArrayStream))
    stream.get_schema = stream_schema
    stream.get_next = stream_next
    stream.get_last_error = stream_last_error
    stream.release = release_stream
    stream.private_data = <void*>state
    Py_INCREF(state)
    try:
        return PyCapsule_New(stream, "arrow_array_stream", destroy_stream_capsule)
    except BaseException:
        drop_stream(stream)
        raise


def requested_layouts(requested_schema):
    """(key layout, value layout): those of a reader's schema capsule where it names one of ours."""
    cdef str key_layout, value_layout
    key_layout, value_layout = DEFAULT_LAYOUTS
    cdef ArrowSchema* schema
    cdef ArrowSchema* child
    cdef int64_t i
    if requested_schema is None:
        return key_layout, value_layout
    schema = <ArrowSchema*>PyCapsule_GetPointer(requested_schema, "arrow_schema")
    if schema.release == NULL:
        raise ValueError("the requested schema was released already")
    for i in range(schema.n_children):
        child = schema.children[i]
        for layout in LAYOUTS:
            if strcmp(child.format, arrow_format(layout)) == 0:
                if strcmp(child.name, b"key") == 0:
                    key_layout = layout
                elif strcmp(child.name, b"value") == 0:
                    value_layout = layout
    return key_layout, value_layout


cdef const char* arrow_format(str layout) except NULL:
    if layout == "binary_view":
        return b"vz"
    if layout == "binary":
        return b"z"
    if layout == "large_binary":
        return b"Z"
    raise ValueError(f"layout {layout!r} is unknown; use one of {', '.join(LAYOUTS)}")


cdef void* allocate(size_t size_bytes) except NULL:
    """Zeroed memory of the C library, for structs that outlive the GIL."""
    cdef void* room = calloc(1, size_bytes)
    if room == NULL:
        raise MemoryError
    return room


cdef int fill_schema(ArrowSchema* out, str key_layout, str value_layout) except -1:
    cdef const char* key_format = arrow_format(key_layout)
    cdef const char* value_format = arrow_format(value_layout)
    cdef ArrowSchema* fields = fill_parent(out, b"", b"+s", FIELD_COUNT)
    try:
        fill_field(&fields[0], b"partition", b"i", 0)
        fill_field(&fields[1], b"offset", b"l", 0)
        fill_field(&fields[2], b"timestamp", b"tsm:UTC", 0)
        fill_field(&fields[3], b"key", key_format, ARROW_NULLABLE)
        fill_field(&fields[4], b"value", value_format, ARROW_NULLABLE)
        fields = fill_parent(&fields[5], b"headers", b"+l", 1)
        fields = fill_parent(&fields[0], b"item", b"+s", 2)
        fill_field(&fields[0], b"key", b"u", 0)
        fill_field(&fields[1], b"value", b"z", ARROW_NULLABLE)
    except BaseException:
        release_schema(out)
        raise
    return 0


cdef ArrowSchema* fill_parent(
    ArrowSchema* out, const char* name, const char* layout_format, int64_t child_count
) except NULL:
    """A field with so many children, which are to be filled in; where they are."""
    cdef SchemaRoom* room = <SchemaRoom*>allocate(sizeof(SchemaRoom))
    cdef int64_t i
    for i in range(child_count):
        room.pointers[i] = &room.fields[i]
    fill_field(out, name, layout_format, 0)
    out.n_children = child_count
    out.children = room.pointers
    out.private_data = room
    return room.fields


cdef void fill_field(
    ArrowSchema* out, const char* name, const char* layout_format, int64_t flags
) noexcept:
    memset(out, 0, sizeof(ArrowSchema))
    out.format = layout_format
    out.name = name
    out.flags = flags
    out.release = release_schema


cdef void release_schema(ArrowSchema* schema) noexcept nogil:
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i].release != NULL:
            schema.children[i].release(schema.children[i])
    free(schema.private_data)
    schema.release = NULL


cdef int lend_records(
    ArrowArray* out, int32_t partition, BatchColumns columns, str key_layout, str value_layout
) except -1:
    """Fill `out` with a struct array of the records; where it raises, `out` holds nothing."""
    cdef ArrayRoom* room = <ArrayRoom*>allocate(sizeof(ArrayRoom))
    cdef int i
    for i in range(FIELD_COUNT):
        room.pointers[i] = &room.fields[i]
    memset(out, 0, sizeof(ArrowArray))
    out.length = columns.record_count
    out.n_buffers = 1
    out.buffers = &room.no_buffer
    out.n_children = FIELD_COUNT
    out.children = room.pointers
    out.private_data = room
    out.release = release_records
    try:
        lend_partition(&room.fields[0], partition, columns)
        lend_integers(&room.fields[1], columns, OFFSETS)
        lend_integers(&room.fields[2], columns, TIMESTAMPS)
        lend_binary(&room.fields[3], columns, KEY_STARTS, key_layout)
        lend_binary(&room.fields[4], columns, VALUE_STARTS, value_layout)
        lend_headers(&room.fields[5], columns)
    except BaseException:
        release_records(out)
        raise
    return 0


cdef ColumnRoom* fill_column(
    ArrowArray* out, int64_t length, owner, int64_t buffer_count
) except NULL:
    """An array with room for its buffers, which keeps `owner` alive."""
    cdef ColumnRoom* room = <ColumnRoom*>allocate(sizeof(ColumnRoom) + buffer_count * sizeof(void*))
    Py_INCREF(owner)
    room.owner = <PyObject*>owner
    out.length = length
    out.n_buffers = buffer_count
    out.buffers = room.buffers
    out.private_data = room
    out.release = release_column
    return room


cdef int lend_partition(ArrowArray* out, int32_t partition, BatchColumns columns) except -1:
    cdef int64_t count = columns.record_count, i
    cdef bytearray column = PyByteArray_FromStringAndSize(NULL, 4 * count)
    cdef int32_t* to = <int32_t*>PyByteArray_AS_STRING(column)
    for i in range(count):
        to[i] = partition
    fill_column(out, count, column, 2).buffers[1] = to
    return 0


cdef int lend_integers(ArrowArray* out, BatchColumns columns, int which) except -1:
    cdef ColumnRoom* room = fill_column(out, columns.record_count, columns, 2)
    room.buffers[1] = columns.column(which)
    return 0


cdef int lend_headers(ArrowArray* out, BatchColumns columns) except -1:
    """A list of (key, value) a record."""
    cdef HeaderColumns headers = headers_of(columns)
    cdef bytearray zeros
    cdef NestRoom* pairs
    cdef NestRoom* room
    if headers is None:
        # Nobody has any: every offset is 0, and a new bytearray is zeros.
        zeros = bytearray(4 * (columns.record_count + 1))
        room = fill_nest(out, columns.record_count, zeros, 2, 1)
        room.buffers[1] = PyByteArray_AS_STRING(zeros)
        pairs = fill_nest(&room.fields[0], 0, None, 1, 2)
        lend_pieces(&pairs.fields[0], 0, zeros, zeros, zeros)
        lend_pieces(&pairs.fields[1], 0, zeros, zeros, zeros)
        return 0
    room = fill_nest(out, columns.record_count, headers, 2, 1)
    room.buffers[1] = PyByteArray_AS_STRING(headers.lists)
    pairs = fill_nest(&room.fields[0], headers.pair_count, None, 1, 2)
    lend_pieces(
        &pairs.fields[0], headers.pair_count, headers, headers.name_offsets, headers.names)
    lend_pieces(
        &pairs.fields[1], headers.pair_count, headers, headers.value_offsets, headers.values)
    if headers.null_count:
        pairs.fields[1].null_count = headers.null_count
        pairs.fields[1].buffers[0] = PyByteArray_AS_STRING(headers.validity)
    return 0


cdef int lend_pieces(
    ArrowArray* out, int64_t count, owner, bytearray offsets, bytearray content
) except -1:
    """`count` pieces of `content`, which like their int32 offsets belongs to `owner`."""
    cdef ColumnRoom* room = fill_column(out, count, owner, 3)
    room.buffers[1] = PyByteArray_AS_STRING(offsets)
    room.buffers[2] = PyByteArray_AS_STRING(content)
    return 0


cdef NestRoom* fill_nest(
    ArrowArray* out, int64_t length, owner, int64_t buffer_count, int64_t child_count
) except NULL:
    """An array with children, which are to be filled in; it keeps `owner` alive."""
    cdef NestRoom* room = <NestRoom*>allocate(sizeof(NestRoom))
    cdef int64_t i
    Py_INCREF(owner)
    room.owner = <PyObject*>owner
    for i in range(child_count):
        room.pointers[i] = &room.fields[i]
    out.length = length
    out.n_buffers = buffer_count
    out.buffers = room.buffers
    out.n_children = child_count
    out.children = room.pointers
    out.private_data = room
    out.release = release_nest
    return room


cdef int lend_binary(ArrowArray* out, BatchColumns columns, int starts, str layout) except -1:
    if layout == "binary_view":
        return lend_views(out, columns, starts)
    cdef bytearray bitmap, packed, offsets_32
    cdef int64_t null_count = columns.nulls_of(starts)
    cdef ColumnRoom* room
    is_large = arrow_format(layout)[0] == c"Z"
    packed, offsets = columns.pack(starts)
    if not is_large:
        if len(packed) > INT32_MAX:
            raise ValueError(
                f"{len(packed)} bytes are more than binary holds: use large_binary or binary_view")
        offsets = offsets_32 = narrow_offsets(offsets.obj, columns.record_count + 1)
    else:
        offsets = offsets.obj
    bitmap = validity_of(columns, starts)
    room = fill_column(out, columns.record_count, (packed, offsets, bitmap), 3)
    out.null_count = null_count
    if null_count:
        room.buffers[0] = PyByteArray_AS_STRING(bitmap)
    room.buffers[1] = PyByteArray_AS_STRING(offsets)
    room.buffers[2] = PyByteArray_AS_STRING(packed)
    return 0


cdef bytearray narrow_offsets(bytearray wide, int64_t count):
    cdef bytearray narrow = PyByteArray_FromStringAndSize(NULL, 4 * count)
    cdef const int64_t* source = <const int64_t*>PyByteArray_AS_STRING(wide)
    cdef int32_t* to = <int32_t*>PyByteArray_AS_STRING(narrow)
    cdef int64_t i
    for i in range(count):
        to[i] = <int32_t>source[i]
    return narrow


cdef bytearray validity_of(BatchColumns columns, int starts):
    """Arrow's bitmap: bit i is 1 where element i is not null; None where none is."""
    cdef int64_t count = columns.record_count, i
    cdef int64_t null_count = columns.nulls_of(starts)
    cdef bytearray bitmap
    cdef uint8_t* bits
    cdef const int64_t* length = columns.column(starts + 1)
    if null_count == 0:
        return None
    bitmap = bytearray((count + 7) >> 3)
    if null_count == count:
        return bitmap
    bits = <uint8_t*>PyByteArray_AS_STRING(bitmap)
    with nogil:
        for i in range(count):
            bits[i >> 3] |= <uint8_t>((length[i] >= 0) << (i & 7))
    return bitmap


cdef int lend_views(ArrowArray* out, BatchColumns columns, int starts) except -1:
    cdef int64_t count = columns.record_count, null_count = columns.nulls_of(starts), i
    cdef int64_t piece_count = (columns._data.len >> PIECE_SHIFT) + 1
    cdef bytearray bitmap = validity_of(columns, starts)
    cdef bytearray views = PyByteArray_FromStringAndSize(NULL, sizeof(BinaryView) * count)
    cdef bytearray sizes = bytearray(8 * piece_count)
    cdef int64_t* piece_sizes = <int64_t*>PyByteArray_AS_STRING(sizes)
    cdef BinaryView* view = <BinaryView*>PyByteArray_AS_STRING(views)
    cdef const int64_t* start = columns.column(starts)
    cdef const int64_t* length = columns.column(starts + 1)
    with nogil:
        if null_count == count:
            memset(view, 0, sizeof(BinaryView) * count)
        else:
            write_views(view, <const uint8_t*>columns._data.buf, start, length, count)
    cdef ColumnRoom* room = fill_column(
        out, count, (columns, bitmap, views, sizes), 3 + piece_count)
    out.null_count = null_count
    if null_count:
        room.buffers[0] = PyByteArray_AS_STRING(bitmap)
    room.buffers[1] = view
    for i in range(piece_count):
        room.buffers[2 + i] = <const uint8_t*>columns._data.buf + (i << PIECE_SHIFT)
        piece_sizes[i] = columns._data.len - (i << PIECE_SHIFT)
    room.buffers[2 + piece_count] = piece_sizes
    return 0


cdef void write_views(
    BinaryView* view, const uint8_t* base, const int64_t* start, const int64_t* length,
    int64_t count
) noexcept nogil:
    # Before each step, the views below i are whole; those of null are all zero.
    cdef int64_t i
    for i in range(count):
        if length[i] > INLINE_BYTES:
            view[i].size = <int32_t>length[i]
            memcpy(view[i].prefix, base + start[i], 4)
            view[i].buffer_index = <int32_t>(start[i] >> PIECE_SHIFT)
            view[i].offset = <int32_t>(start[i] & ((<int64_t>1 << PIECE_SHIFT) - 1))
        else:
            memset(&view[i], 0, sizeof(BinaryView))
            if length[i] > 0:
                view[i].size = <int32_t>length[i]
                hr_copy_short(<uint8_t*>&view[i] + 4, base + start[i], length[i])


cdef void release_column(ArrowArray* array) noexcept nogil:
    cdef ColumnRoom* room = <ColumnRoom*>array.private_data
    array.release = NULL
    give_back(room.owner)
    free(room)


cdef void release_nest(ArrowArray* array) noexcept nogil:
    cdef NestRoom* room = <NestRoom*>array.private_data
    cdef int64_t i
    array.release = NULL
    for i in range(array.n_children):
        if array.children[i].release != NULL:
            array.children[i].release(array.children[i])
    give_back(room.owner)
    free(room)


cdef void release_records(ArrowArray* array) noexcept nogil:
    cdef int64_t i
    array.release = NULL
    for i in range(array.n_children):
        if array.children[i].release != NULL:
            array.children[i].release(array.children[i])
    free(array.private_data)


cdef void give_back(PyObject* owner) noexcept nogil:
    # A reader that outlives the interpreter releases nothing: memory goes with the process.
    if Py_IsInitialized():
        with gil:
            Py_DECREF(<object>owner)


@cython.final
cdef class StreamState:
    """What a stream still has to give, and why it failed if it did."""


cdef int stream_schema(ArrowArrayStream* stream, ArrowSchema* out) noexcept with gil:
    cdef StreamState state = <StreamState>stream.private_data
    memset(out, 0, sizeof(ArrowSchema))
    try:
        fill_schema(out, state.key_layout, state.value_layout)
    except BaseException as error:
        return note_failure(state, error)
    return 0


cdef int stream_next(ArrowArrayStream* stream, ArrowArray* out) noexcept with gil:
    cdef StreamState state = <StreamState>stream.private_data
    memset(out, 0, sizeof(ArrowArray))
    try:
        for partition, columns in state.batches:
            lend_records(out, partition, columns, state.key_layout, state.value_layout)
            break
    except BaseException as error:
        return note_failure(state, error)
    return 0


cdef int note_failure(StreamState state, error) noexcept:
    state.last_error = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
    return ENOMEM if isinstance(error, MemoryError) else EIO


cdef const char* stream_last_error(ArrowArrayStream* stream) noexcept with gil:
    cdef StreamState state = <StreamState>stream.private_data
    if state.last_error is None:
        return NULL
    return state.last_error


cdef void release_stream(ArrowArrayStream* stream) noexcept nogil:
    stream.release = NULL
    give_back(<PyObject*>stream.private_data)


# A capsule that nobody took out of still owns its struct; one that was taken has release NULL.

cdef void drop_schema(ArrowSchema* schema) noexcept:
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


cdef void drop_array(ArrowArray* array) noexcept:
    if array.release != NULL:
        array.release(array)
    free(array)


cdef void drop_stream(ArrowArrayStream* stream) noexcept:
    if stream.release != NULL:
        stream.release(stream)
    free(stream)


cdef void destroy_schema_capsule(object capsule) noexcept:
    if PyCapsule_IsValid(capsule, "arrow_schema"):
        drop_schema(<ArrowSchema*>PyCapsule_GetPointer(capsule, "arrow_schema"))


cdef void destroy_array_capsule(object capsule) noexcept:
    if PyCapsule_IsValid(capsule, "arrow_array"):
        drop_array(<ArrowArray*>PyCapsule_GetPointer(capsule, "arrow_array"))


cdef void destroy_stream_capsule(object capsule) noexcept:
    if PyCapsule_IsValid(capsule, "arrow_array_stream"):
        drop_stream(<ArrowArrayStream*>PyCapsule_GetPointer(capsule, "arrow_array_stream"))
