"""Encodes whole columns of records as one RecordBatch, without an object or a call a record.

Three sources: a list of bytes, a fixed-width array, and a (data, offsets) column as Arrow keeps it.
All records share one `timestamp` [ms], or take theirs from an int64 column `timestamps`.  The batch
comes back finished, CRC included, in a bytearray of its own.  Up to 2 GiB; whoever calls keeps it
below max.message.bytes by passing fewer records.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytearray cimport (
    PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from .held_buffer cimport hold_buffer
from .record cimport record_body_size, write_blob, write_record
from .record_batch cimport BATCH_HEADER_BYTES, BatchHeader, write_batch_header
from .varint cimport varint_size

from .compression import CODEC_IDS, compress
from .errors import RecordBatchTooLargeError, RecordTypeError, UnsupportedCompressionTypeError

cdef extern from *:
    """
    #define hr_prefetch(p) __builtin_prefetch((p), 0, 3)
    """
    void hr_prefetch(const void* p) noexcept nogil

cdef enum:
    # Length, attributes, timestamp, offset, two lengths and the header count, each at its longest.
    FRAME_BYTES = 5 + 1 + 10 + 5 + 5 + 5 + 5
    LARGEST_BATCH_BYTES = 0x7FFFFFFF
    # Objects of a list lie anywhere: asking for them this far ahead hides the wait for memory.
    PREFETCH_AHEAD = 12
    NOGIL_BYTES = 16384


cdef int64_t column_bytes(const Column* column) noexcept nogil:
    """An upper bound of the bytes of all elements, or -1 where offsets run backwards or outside."""
    cdef int64_t total = 0, backwards = 0, i
    if column.count == 0:
        return 0
    if column.kind == FIXED_COLUMN:
        return column.count * column.width
    if column.kind == OFFSETS_32_COLUMN:
        for i in range(column.count):
            backwards |= column.offsets_32[i] > column.offsets_32[i + 1]
        backwards |= column.offsets_32[0] < 0
        if backwards or column.offsets_32[column.count] > column.data_bytes:
            return -1
        return <int64_t>column.offsets_32[column.count] - column.offsets_32[0]
    if column.kind == OFFSETS_64_COLUMN:
        for i in range(column.count):
            backwards |= column.offsets_64[i] > column.offsets_64[i + 1]
        backwards |= column.offsets_64[0] < 0
        if backwards or column.offsets_64[column.count] > column.data_bytes:
            return -1
        return column.offsets_64[column.count] - column.offsets_64[0]
    if column.kind == POINTERS_COLUMN:
        for i in range(column.count):
            total += column.sizes[i] if column.sizes[i] > 0 else 0
    return total


cdef inline uint8_t* write_columns(
    uint8_t* p, const Column* values, const Column* keys, const int64_t* timestamps,
    BatchHeader* header
) noexcept nogil:
    # Before each step, p is the first byte of record i and base_timestamp that of record 0.
    cdef const uint8_t* key = NULL
    cdef const uint8_t* value = NULL
    cdef int64_t key_size, value_size, timestamp_delta = 0, i
    for i in range(values.count):
        if timestamps != NULL:
            timestamp_delta = timestamps[i] - header.base_timestamp
            if timestamps[i] > header.max_timestamp:
                header.max_timestamp = timestamps[i]
        key_size = column_element(keys, i, &key)
        value_size = column_element(values, i, &value)
        p = write_record(
            p, record_body_size(timestamp_delta, i, key_size, value_size, 0, 0),
            timestamp_delta, i, key, key_size, value, value_size, 0)
    return p


cdef inline int64_t pair_bytes(const HeaderColumn* headers, int64_t pair) noexcept nogil:
    """What one header takes in a record; -1 where its name is null."""
    cdef const uint8_t* start = NULL
    cdef int64_t name_size = column_element(&headers.names, pair, &start)
    cdef int64_t value_size = column_element(&headers.values, pair, &start)
    if name_size < 0:
        return -1
    return (varint_size(name_size) + name_size
            + varint_size(value_size) + (value_size if value_size > 0 else 0))


cdef int64_t header_bytes(const HeaderColumn* headers, int64_t count) noexcept nogil:
    """The bytes of all headers of `count` records; -1 for wrong offsets, -2 for a null name."""
    cdef int64_t total = 0, end = 0, pair, size, i
    for i in range(count):
        pair = pairs_of(headers, i, &end)
        if pair < 0 or end < pair or end > headers.pair_count:
            return -1
        while pair < end:
            size = pair_bytes(headers, pair)
            if size < 0:
                return -2
            total += size
            pair += 1
    return total


cdef uint8_t* write_with_headers(
    uint8_t* p, const Column* values, const Column* keys, const HeaderColumn* headers,
    const int64_t* timestamps, BatchHeader* header
) noexcept nogil:
    # Before each step, p is the first byte of record i, whose headers `header_bytes` has checked.
    cdef const uint8_t* key = NULL
    cdef const uint8_t* value = NULL
    cdef int64_t key_size, value_size, timestamp_delta = 0, size, first, pair, end = 0, i
    for i in range(values.count):
        if timestamps != NULL:
            timestamp_delta = timestamps[i] - header.base_timestamp
            header.max_timestamp = max(header.max_timestamp, timestamps[i])
        key_size = column_element(keys, i, &key)
        value_size = column_element(values, i, &value)
        first = pairs_of(headers, i, &end)
        size = 0
        for pair in range(first, end):
            size += pair_bytes(headers, pair)
        p = write_record(
            p,
            record_body_size(timestamp_delta, i, key_size, value_size, end - first, size),
            timestamp_delta, i, key, key_size, value, value_size, end - first)
        for pair in range(first, end):
            size = column_element(&headers.names, pair, &key)
            p = write_blob(p, key, size)
            size = column_element(&headers.values, pair, &key)
            p = write_blob(p, key, size)
    return p


cdef uint8_t* write_all(
    uint8_t* p, const Column* values, const Column* keys, const HeaderColumn* headers,
    const int64_t* timestamps, BatchHeader* header
) noexcept nogil:
    """`write_columns`, with the kinds of the usual sources known to the compiler."""
    cdef Column plain = values[0], nothing = keys[0]
    if headers != NULL:
        return write_with_headers(p, values, keys, headers, timestamps, header)
    if keys.kind == NULL_COLUMN and values.validity == NULL and timestamps == NULL:
        plain.validity = NULL
        nothing.kind = NULL_COLUMN
        nothing.validity = NULL
        if values.kind == FIXED_COLUMN:
            plain.kind = FIXED_COLUMN
            return write_columns(p, &plain, &nothing, NULL, header)
        if values.kind == OFFSETS_32_COLUMN:
            plain.kind = OFFSETS_32_COLUMN
            return write_columns(p, &plain, &nothing, NULL, header)
        if values.kind == OFFSETS_64_COLUMN:
            plain.kind = OFFSETS_64_COLUMN
            return write_columns(p, &plain, &nothing, NULL, header)
        if values.kind == POINTERS_COLUMN:
            plain.kind = POINTERS_COLUMN
            return write_columns(p, &plain, &nothing, NULL, header)
    return write_columns(p, values, keys, timestamps, header)


cdef bytearray encode(
    const Column* values, const Column* keys, const HeaderColumn* headers, int64_t timestamp,
    timestamps, int64_t base_offset, int32_t leader_epoch, str compression
):
    cdef Py_buffer times
    cdef BatchHeader header
    if values.count == 0:
        raise ValueError("a batch needs at least one record")
    if keys.kind != NULL_COLUMN and keys.count != values.count:
        raise ValueError(f"{keys.count} keys for {values.count} values")
    if compression not in CODEC_IDS:
        raise UnsupportedCompressionTypeError(
            f"compression {compression!r} is unknown; use one of {', '.join(CODEC_IDS)}")
    memset(&header, 0, sizeof(header))
    header.base_offset = base_offset
    header.leader_epoch = leader_epoch
    header.attributes = CODEC_IDS[compression]
    header.base_timestamp = header.max_timestamp = timestamp
    header.producer_id = header.producer_epoch = header.base_sequence = -1
    if timestamps is None:
        return encode_with(values, keys, headers, NULL, &header)
    PyObject_GetBuffer(timestamps, &times, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    try:
        if integer_width(&times) != 8 or times.len != 8 * values.count:
            raise ValueError(f"timestamps must be {values.count} int64 values, one a record")
        header.base_timestamp = header.max_timestamp = (<const int64_t*>times.buf)[0]
        return encode_with(values, keys, headers, <const int64_t*>times.buf, &header)
    finally:
        PyBuffer_Release(&times)


cdef int64_t room_for(
    const Column* values, const Column* keys, const HeaderColumn* headers
) except -1:
    """The bytes that the batch takes at most; raises for columns that no batch can hold."""
    cdef int64_t value_bytes = column_bytes(values), key_bytes = column_bytes(keys), pairs = 0
    if headers != NULL:
        pairs = header_bytes(headers, values.count)
        if pairs == -2:
            raise ValueError("a header's name must not be null")
    if value_bytes < 0 or key_bytes < 0 or pairs < 0:
        raise ValueError("offsets must not decrease, start below 0 or end behind the data")
    # Each is bounded before they are added: an array may claim any shape.
    cdef int64_t largest = max(max(value_bytes, key_bytes), max(values.count, pairs))
    cdef int64_t room = BATCH_HEADER_BYTES
    if largest <= LARGEST_BATCH_BYTES:
        room += value_bytes + key_bytes + pairs + FRAME_BYTES * values.count
    if max(largest, room) > LARGEST_BATCH_BYTES:
        raise RecordBatchTooLargeError(
            f"{values.count} records of {value_bytes + key_bytes} bytes: a batch ends at 2 GiB")
    return room


cdef bytearray encode_with(
    const Column* values, const Column* keys, const HeaderColumn* headers,
    const int64_t* timestamps, BatchHeader* header
):
    cdef int64_t room = room_for(values, keys, headers)
    cdef bytearray batch = PyByteArray_FromStringAndSize(NULL, room)
    cdef uint8_t* start = <uint8_t*>PyByteArray_AS_STRING(batch)
    cdef uint8_t* end
    if room < NOGIL_BYTES:
        end = write_all(
            start + BATCH_HEADER_BYTES, values, keys, headers, timestamps, header)
    else:
        with nogil:
            end = write_all(
                start + BATCH_HEADER_BYTES, values, keys, headers, timestamps, header)
    PyByteArray_Resize(batch, end - start)
    cdef int codec_id = header.attributes
    if codec_id:
        packed = bytearray(BATCH_HEADER_BYTES)
        packed += compress(codec_id, memoryview(batch)[BATCH_HEADER_BYTES:])
        batch = packed
    start = <uint8_t*>PyByteArray_AS_STRING(batch)
    header.size_bytes = <int32_t>len(batch)
    header.record_count = <int32_t>values.count
    header.last_offset_delta = header.record_count - 1
    with nogil:
        write_batch_header(start, header)
    return batch


cdef int integer_width(const Py_buffer* buffer) noexcept:
    """4 or 8 for one dimension of int32 or int64 in the machine's order, else 0."""
    cdef const char* code = buffer.format
    if buffer.ndim != 1 or code == NULL:
        return 0
    if code[0] == b"@" or code[0] == b"=":
        code += 1
    if code[1] != 0 or code[0] not in (b"i", b"l", b"q"):
        return 0
    return <int>buffer.itemsize


cdef int width_of_integers(object integers) except -1:
    """`integer_width` of what it has a buffer of."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(integers, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    try:
        return integer_width(&buffer)
    finally:
        PyBuffer_Release(&buffer)


@cython.final
cdef class BinaryColumn:
    """A column of bytes as Arrow's binary and large_binary arrays keep it, not copied.

    Element i is `data[offsets[i]:offsets[i + 1]]`; `offsets` are int32 or int64, one more than
    there are elements.  `validity` is Arrow's bitmap: element i is null where bit
    `validity_start + i`, counted from the lowest of byte 0, is 0.  The buffers are held until the
    column goes, and must not change while it is encoded.
    Raises ValueError for offsets of another type or a bitmap that is too short.
    """

    def __cinit__(self, data, offsets, validity=None, *, int64_t validity_start=0):
        hold_buffer(data, &self._data)
        self._held = 1
        cdef int width = width_of_integers(offsets)
        hold_buffer(offsets, &self._offsets)
        self._held = 2
        if width not in (4, 8) or self._offsets.len < width:
            raise ValueError("offsets must be int32 or int64, one more than there are elements")
        self.column.count = self._offsets.len // width - 1
        self.column.data = <const uint8_t*>self._data.buf
        self.column.data_bytes = self._data.len
        if width == 4:
            self.column.kind = OFFSETS_32_COLUMN
            self.column.offsets_32 = <const int32_t*>self._offsets.buf
        else:
            self.column.kind = OFFSETS_64_COLUMN
            self.column.offsets_64 = <const int64_t*>self._offsets.buf
        if validity is not None:
            hold_buffer(validity, &self._validity)
            self._held = 3
            if validity_start < 0 or self._validity.len * 8 < validity_start + self.column.count:
                raise ValueError(f"the validity bitmap ends before element {self.column.count}")
            self.column.validity = <const uint8_t*>self._validity.buf
            self.column.validity_start = validity_start

    def __dealloc__(self):
        if self._held > 2:
            PyBuffer_Release(&self._validity)
        if self._held > 1:
            PyBuffer_Release(&self._offsets)
        if self._held > 0:
            PyBuffer_Release(&self._data)

    def __len__(self):
        return self.column.count


def encode_columns(
    BinaryColumn values not None, BinaryColumn keys=None, *, int64_t timestamp, timestamps=None,
    int64_t base_offset=0, int32_t leader_epoch=-1, str compression="none"
):
    """One batch of the elements of `values`, keyed by those of `keys`; no keys where it is None.

    Raises ValueError for offsets that decrease or leave the data, or columns of unequal length.
    """
    cdef Column nothing
    memset(&nothing, 0, sizeof(nothing))
    cdef const Column* key_column = &nothing
    if keys is not None:
        key_column = &keys.column
    return encode(
        &values.column, key_column, NULL, timestamp, timestamps, base_offset, leader_epoch,
        compression)


def encode_array(
    array, keys=None, *, int64_t timestamp, timestamps=None, int64_t base_offset=0,
    int32_t leader_epoch=-1, str compression="none"
):
    """One batch of fixed-width values: the rows of uint8[n, width], or the items of any 1-D array.

    `keys` is None or an array of the same kinds.  Rows may be apart (a slice of a wider array), the
    bytes of one row may not.  Raises ValueError for other shapes or arrays of unequal length.
    """
    cdef Column value_column, key_column
    cdef Py_buffer value_buffer, key_buffer
    memset(&key_column, 0, sizeof(key_column))
    PyObject_GetBuffer(array, &value_buffer, PyBUF_STRIDES)
    try:
        fill_fixed(&value_column, &value_buffer)
        if keys is None:
            return encode(
                &value_column, &key_column, NULL, timestamp, timestamps, base_offset, leader_epoch,
                compression)
        PyObject_GetBuffer(keys, &key_buffer, PyBUF_STRIDES)
        try:
            fill_fixed(&key_column, &key_buffer)
            return encode(
                &value_column, &key_column, NULL, timestamp, timestamps, base_offset, leader_epoch,
                compression)
        finally:
            PyBuffer_Release(&key_buffer)
    finally:
        PyBuffer_Release(&value_buffer)


cdef int fill_fixed(Column* column, const Py_buffer* buffer) except -1:
    memset(column, 0, sizeof(Column))
    column.kind = FIXED_COLUMN
    column.data = <const uint8_t*>buffer.buf
    if buffer.ndim == 1:
        column.width = buffer.itemsize
    elif buffer.ndim == 2 and buffer.itemsize == 1 and (
        buffer.strides[1] == 1 or buffer.shape[1] == 1
    ):
        column.width = buffer.shape[1]
    else:
        raise ValueError("a fixed-width array is uint8[n, width] with dense rows, or has one axis")
    column.count = buffer.shape[0]
    column.stride = buffer.strides[0]
    return 0


def encode_values(
    values, keys=None, *, int64_t timestamp, timestamps=None, int64_t base_offset=0,
    int32_t leader_epoch=-1, str compression="none"
):
    """One batch of a list of values and, where given, the list of their keys.

    Elements are bytes (fastest), any other bytes-like, or None for null.  Raises TypeError with the
    index of an element of another type, ValueError for lists of unequal length.
    """
    # Lists of our own, so that no element goes away while the GIL is released.
    cdef list value_list = list(values)
    cdef list key_list = None if keys is None else list(keys)
    cdef Column value_column, key_column
    cdef list kept = []
    memset(&value_column, 0, sizeof(value_column))
    memset(&key_column, 0, sizeof(key_column))
    try:
        fill_pointers(&value_column, value_list, kept, "value")
        if key_list is not None:
            fill_pointers(&key_column, key_list, kept, "key")
        return encode(
            &value_column, &key_column, NULL, timestamp, timestamps, base_offset, leader_epoch,
            compression)
    finally:
        free(<void*>value_column.starts)
        free(<void*>key_column.starts)


cdef int fill_pointers(Column* column, list elements, list kept, str what) except -1:
    """Where each element's bytes lie; `kept` takes a copy of those that could move meanwhile."""
    cdef int64_t count = PyList_GET_SIZE(elements), i
    cdef PyObject* element
    cdef int64_t* sizes
    column.kind = POINTERS_COLUMN
    column.count = count
    # One piece for both: `starts` in front, `sizes` behind it.
    column.starts = <const uint8_t**>malloc(count * 16 + 1)
    if column.starts == NULL:
        raise MemoryError
    sizes = <int64_t*>(column.starts + count)
    column.sizes = sizes
    for i in range(count):
        if i + PREFETCH_AHEAD < count:
            hr_prefetch(PyList_GET_ITEM(elements, i + PREFETCH_AHEAD))
        element = PyList_GET_ITEM(elements, i)
        if PyBytes_CheckExact(<object>element):
            column.starts[i] = <const uint8_t*>PyBytes_AS_STRING(<object>element)
            sizes[i] = PyBytes_GET_SIZE(<object>element)
            # The copy comes a batch later: the rest of a short value is on its way by then.
            hr_prefetch(column.starts[i] + 32)
            hr_prefetch(column.starts[i] + 96)
        elif <object>element is None:
            column.starts[i] = NULL
            sizes[i] = -1
        else:
            copy = bytes_of(<object>element, i, what)
            kept.append(copy)
            column.starts[i] = <const uint8_t*>PyBytes_AS_STRING(copy)
            sizes[i] = PyBytes_GET_SIZE(copy)
    return 0


cdef bytes bytes_of(element, int64_t index, str what):
    try:
        return bytes(memoryview(element))
    except TypeError:
        raise RecordTypeError(what, index, type(element).__name__) from None
