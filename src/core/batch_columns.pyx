"""Reads the records of batches as columns: where each key and value lies, not what it says.

    COLUMN         int64, one a record
    offsets        the record's offset
    timestamps     [ms]
    key_starts     position in `data`
    key_lengths    [bytes], -1 for a null key
    value_starts   position in `data`
    value_lengths  [bytes], -1 for a null value

Batches stored uncompressed are not copied: `data` is the buffer that was read, a mapping included.
Once one of them is compressed, `data` is a new buffer that holds the unpacked records of all.
"""

cimport cython
from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t

from .held_buffer cimport hold_buffer
from .record cimport RecordFields, headers_are_valid, hr_copy_short, read_record
from .record_batch cimport BATCH_HEADER_BYTES, COMPRESSION_MASK, CONTROL_BIT, RecordBatch
from .varint cimport varint_size

from .errors import CorruptRecordError
from .record_batch import MAX_UNCOMPRESSED_BYTES

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define HR_HEAD_BYTES 16
    /* The framing of a record, to be found again in the next ones: all bytes up to the key and
       those of the value's length, but for the offset delta, which grows by one. */
    typedef struct {
        uint64_t head[2], head_mask[2];   /* the offset delta's bytes are 0 in both */
        uint64_t tail, tail_mask;         /* the value's length */
        int delta_at, delta_bytes;
        int64_t tail_at, stride;
    } hr_frame;

    static inline uint64_t hr_low_bytes(int n) {
        return n >= 8 ? ~0ULL : n <= 0 ? 0 : (1ULL << 8 * n) - 1;
    }
    /* The varint of a delta that is known to take this many bytes, as they stand in memory. */
    static inline uint64_t hr_delta_bytes(int64_t delta, int bytes) {
        uint64_t v = (uint64_t)delta << 1;
        if (bytes == 1) return v;
        if (bytes == 2) return (v & 127) | 128 | (v >> 7) << 8;
        return (v & 127) | 128 | ((v >> 7 & 127) | 128) << 8 | (v >> 14) << 16;
    }
    static inline int hr_frame_matches(const hr_frame* f, const uint8_t* p, int64_t delta) {
        uint64_t a, b, c, expected = hr_delta_bytes(delta, f->delta_bytes) << 8 * f->delta_at;
        memcpy(&a, p, 8); memcpy(&b, p + 8, 8); memcpy(&c, p + f->tail_at, 8);
        a = (a ^ (f->head[0] | expected)) & f->head_mask[0];
        b = (b ^ f->head[1]) & f->head_mask[1];
        c = (c ^ f->tail) & f->tail_mask;
        return !(a | b | c | p[f->stride - 1]);
    }
    /* Takes the framing of the record at p; 0 where it is none that can be compared like that. */
    static inline int hr_take_frame(
        hr_frame* f, const uint8_t* p, int64_t delta_at, int delta_bytes, int64_t key_at,
        int64_t tail_at, int64_t tail_bytes, int64_t stride) {
        if (delta_bytes > 3 || delta_at + delta_bytes > 8 || key_at > HR_HEAD_BYTES) return 0;
        uint64_t delta_mask = hr_low_bytes(delta_bytes) << 8 * delta_at;
        f->head_mask[0] = hr_low_bytes((int)key_at);
        f->head_mask[1] = hr_low_bytes((int)key_at - 8);
        memcpy(f->head, p, 16);
        f->head[0] &= ~delta_mask;
        f->tail_mask = hr_low_bytes((int)tail_bytes);
        memcpy(&f->tail, p + tail_at, 8);
        f->delta_at = (int)delta_at; f->delta_bytes = delta_bytes;
        f->tail_at = tail_at; f->stride = stride;
        return 1;
    }
    """
    ctypedef struct hr_frame:
        int64_t stride
    bint hr_frame_matches(const hr_frame* frame, const uint8_t* p, int64_t delta) noexcept nogil
    bint hr_take_frame(
        hr_frame* frame, const uint8_t* p, int64_t delta_at, int delta_bytes, int64_t key_at,
        int64_t tail_at, int64_t tail_bytes, int64_t stride) noexcept nogil

cdef enum:
    SMALLEST_RECORD_BYTES = 7
    # What comparing a record's framing may touch behind its end.
    COMPARED_BYTES = 24


@cython.final
cdef class BatchColumns:
    """What `read_columns` found; columns are read-only memoryviews that numpy takes as is.

    `data` and the buffer under it stay alive with this object and with any view of it.
    """

    def __init__(self):
        raise TypeError("BatchColumns come from read_columns()")

    def __dealloc__(self):
        if self._is_held:
            PyBuffer_Release(&self._data)

    def __len__(self):
        return self.record_count

    @property
    def offsets(self):
        """The records' offsets, growing."""
        return self.column_view(OFFSETS)

    @property
    def timestamps(self):
        """The records' timestamps [ms]; the append time where the batch has that."""
        return self.column_view(TIMESTAMPS)

    @property
    def key_starts(self):
        """Where in `data` each key starts."""
        return self.column_view(KEY_STARTS)

    @property
    def key_lengths(self):
        """How long each key is [bytes]; -1 for null."""
        return self.column_view(KEY_LENGTHS)

    @property
    def value_starts(self):
        """Where in `data` each value starts."""
        return self.column_view(VALUE_STARTS)

    @property
    def value_lengths(self):
        """How long each value is [bytes]; -1 for null."""
        return self.column_view(VALUE_LENGTHS)

    def key(self, Py_ssize_t index):
        """The key of record `index` as bytes of its own, None for null; IndexError outside."""
        return self.element(KEY_STARTS, index)

    def value(self, Py_ssize_t index):
        """The value of record `index` as bytes of its own, None for null; IndexError outside."""
        return self.element(VALUE_STARTS, index)

    def keys_to_list(self):
        """All keys as bytes objects, None for null."""
        return self.elements(KEY_STARTS)

    def values_to_list(self):
        """All values as bytes objects, None for null."""
        return self.elements(VALUE_STARTS)

    def packed_keys(self):
        """The keys back to back in a new buffer, and int64 offsets, one more than records.

        That is Arrow's large_binary; a null key is an empty range (`key_lengths` tells it apart).
        """
        return self.pack(KEY_STARTS)

    def packed_values(self):
        """The values as `packed_keys` gives the keys."""
        return self.pack(VALUE_STARTS)

    def copy_keys_into(self, out):
        """Copy keys of one width into `out`: uint8[n, width], or one axis of items that wide.

        Raises ValueError for another shape, or with the offset of a key of another length.
        """
        self.copy_fixed(out, KEY_STARTS, "key")

    def copy_values_into(self, out):
        """Copy values of one width into `out`, as `copy_keys_into` does the keys."""
        self.copy_fixed(out, VALUE_STARTS, "value")

    cdef int64_t* column(self, int which) noexcept:
        return <int64_t*>PyByteArray_AS_STRING(self._storage) + which * self._capacity

    cdef object column_view(self, int which):
        cdef Py_ssize_t start = 8 * which * self._capacity
        return memoryview(self._storage)[start:start + 8 * self.record_count].cast("q").toreadonly()

    cdef object element(self, int starts, Py_ssize_t index):
        if not 0 <= index < self.record_count:
            raise IndexError(f"record {index} of {self.record_count}")
        cdef int64_t length = self.column(starts + 1)[index]
        if length < 0:
            return None
        return PyBytes_FromStringAndSize(
            <const char*>self._data.buf + self.column(starts)[index], length)

    cdef list elements(self, int starts):
        cdef const char* base = <const char*>self._data.buf
        cdef const int64_t* start = self.column(starts)
        cdef const int64_t* length = self.column(starts + 1)
        cdef list found = PyList_New(self.record_count)
        cdef Py_ssize_t i
        for i in range(self.record_count):
            if length[i] > 1:
                # Bytes of our own making are filled in before anybody sees them.
                element = PyBytes_FromStringAndSize(NULL, length[i])
                hr_copy_short(
                    <uint8_t*>PyBytes_AS_STRING(element), <const uint8_t*>base + start[i],
                    length[i])
            else:
                element = None
                if length[i] >= 0:
                    element = PyBytes_FromStringAndSize(base + start[i], length[i])
            Py_INCREF(element)
            PyList_SET_ITEM(found, i, element)
        return found

    cdef Py_ssize_t nulls_of(self, int starts) noexcept:
        return self.null_keys if starts == KEY_STARTS else self.null_values

    cdef tuple pack(self, int starts):
        cdef const uint8_t* base = <const uint8_t*>self._data.buf
        cdef const int64_t* start = self.column(starts)
        cdef const int64_t* length = self.column(starts + 1)
        cdef Py_ssize_t count = self.record_count, i
        cdef bytearray offset_bytes
        if self.nulls_of(starts) == count:
            return bytearray(), memoryview(bytearray(8 * (count + 1))).cast("q").toreadonly()
        offset_bytes = PyByteArray_FromStringAndSize(NULL, 8 * (count + 1))
        cdef int64_t* offsets = <int64_t*>PyByteArray_AS_STRING(offset_bytes)
        offsets[0] = 0
        for i in range(count):
            offsets[i + 1] = offsets[i] + (length[i] if length[i] > 0 else 0)
        cdef bytearray packed = PyByteArray_FromStringAndSize(NULL, offsets[count])
        cdef uint8_t* to = <uint8_t*>PyByteArray_AS_STRING(packed)
        with nogil:
            for i in range(count):
                hr_copy_short(to + offsets[i], base + start[i], offsets[i + 1] - offsets[i])
        return packed, memoryview(offset_bytes).cast("q").toreadonly()

    cdef int copy_fixed(self, out, int starts, str what) except -1:
        cdef Py_buffer target
        cdef Py_ssize_t i = 0
        cdef const uint8_t* base = <const uint8_t*>self._data.buf
        cdef const int64_t* start = self.column(starts)
        cdef const int64_t* length = self.column(starts + 1)
        PyObject_GetBuffer(out, &target, PyBUF_STRIDES | PyBUF_WRITABLE)
        try:
            width = fixed_width(&target, self.record_count)
            with nogil:
                i = copy_rows(&target, base, start, length, self.record_count, width)
        finally:
            PyBuffer_Release(&target)
        if i < self.record_count:
            offset = self.column(OFFSETS)[i]
            raise ValueError(f"the {what} at offset {offset} has {length[i]} bytes, not {width}")
        return 0


cdef Py_ssize_t copy_rows(
    const Py_buffer* target, const uint8_t* base, const int64_t* start, const int64_t* length,
    Py_ssize_t count, int64_t width
) noexcept nogil:
    """Copy each element to its row; the index of the first of another width, or `count`."""
    cdef Py_ssize_t i
    for i in range(count):
        if length[i] != width:
            return i
        hr_copy_short(<uint8_t*>target.buf + i * target.strides[0], base + start[i], width)
    return count


cdef int64_t fixed_width(const Py_buffer* target, Py_ssize_t count) except -1:
    cdef bint is_dense = target.ndim == 2 and target.itemsize == 1 and (
        target.strides[1] == 1 or target.shape[1] == 1)
    if not (is_dense or target.ndim == 1) or target.shape[0] != count:
        raise ValueError(f"the target must be uint8[{count}, width] or one axis of {count} items")
    return target.shape[1] if is_dense else target.itemsize


def read_columns(
    buffer, *, int64_t start_offset=0, max_records=None, bint check_crc=False,
    int64_t max_bytes=MAX_UNCOMPRESSED_BYTES
):
    """The records from `start_offset` on of the batches back to back in `buffer`, as columns.

    At most `max_records`; transaction markers are left out, and `next_offset` stands behind them.
    `max_bytes` bounds what the compressed batches may unfold to, all together.  Raises
    CorruptRecordError for bytes that are no whole batch, records that are malformed or do not match
    record_count, or (with `check_crc`) a wrong CRC; UnsupportedCompressionTypeError for an
    unassigned codec.
    """
    cdef list batches = []
    cdef bint is_compressed = False
    cdef Py_ssize_t position = 0, size_bytes = memoryview(buffer).nbytes
    cdef int64_t limit = INT64_MAX if max_records is None else max(0, max_records)
    cdef int64_t next_offset = start_offset, counted = 0
    cdef RecordBatch batch
    # Invariant: `counted` records, at least, stand in the batches before `position`.
    while position < size_bytes and counted < limit:
        batch = RecordBatch(buffer, position)
        position += batch.header.size_bytes
        next_offset = max(next_offset, batch.next_offset)
        if batch.header.attributes & CONTROL_BIT or batch.last_offset < start_offset:
            continue
        if check_crc and not batch.crc_is_valid():
            raise CorruptRecordError(f"the CRC of {batch!r} does not match its bytes")
        is_compressed |= (batch.header.attributes & COMPRESSION_MASK) != 0
        batches.append(batch)
        if batch.header.base_offset >= start_offset:
            counted += batch.header.record_count
    if is_compressed:
        data, places = unpack_batches(batches, max_bytes)
    else:
        data, places = buffer, payload_places(batches, buffer)
    cdef BatchColumns columns = fill_columns(data, batches, places, start_offset, limit)
    columns.next_offset = next_offset
    if columns.record_count == limit:
        columns.next_offset = start_offset
        if limit:
            columns.next_offset = columns.column(OFFSETS)[limit - 1] + 1
    return columns


cdef list payload_places(list batches, buffer):
    """(position, size) in `buffer` of each batch's records."""
    cdef RecordBatch batch
    places = []
    for batch in batches:
        position = batch.start - <const uint8_t*>batch._buffer.buf + BATCH_HEADER_BYTES
        places.append((position, batch.header.size_bytes - BATCH_HEADER_BYTES))
    return places


cdef tuple unpack_batches(list batches, int64_t max_bytes):
    """All records unpacked into one buffer, and (position, size) in it of each batch's."""
    cdef RecordBatch batch
    data = bytearray()
    places = []
    for batch in batches:
        payload = batch.uncompressed_payload(max(0, max_bytes - len(data)))
        places.append((len(data), len(payload)))
        data += payload
    return data, places


cdef BatchColumns fill_columns(
    data, list batches, list places, int64_t start_offset, int64_t limit
):
    cdef BatchColumns columns = BatchColumns.__new__(BatchColumns)
    cdef RecordBatch batch
    cdef Py_ssize_t index, position, size
    cdef int64_t capacity = 0, kept
    cdef int64_t* first
    for index in range(len(batches)):
        batch = batches[index]
        size = places[index][1]
        # A hostile record_count is caught before memory is taken for it.
        if not 0 <= batch.header.record_count <= size // SMALLEST_RECORD_BYTES:
            raise CorruptRecordError(f"{batch!r} cannot hold that many records")
        capacity += batch.header.record_count
    hold_buffer(data, &columns._data)
    columns._is_held = True
    columns.data = data
    columns._capacity = min(capacity, max(limit, 0))
    columns._storage = PyByteArray_FromStringAndSize(NULL, 8 * COLUMN_COUNT * columns._capacity)
    for index in range(len(batches)):
        if columns.record_count == columns._capacity:
            break
        batch = batches[index]
        position, size = places[index]
        first = columns.column(0)
        with nogil:
            kept = scan_batch(columns, first, batch, position, size, start_offset)
        if kept < 0:
            raise CorruptRecordError(f"a record of {batch!r} is malformed")
        columns.record_count += kept
    return columns


cdef int64_t scan_batch(
    BatchColumns columns, int64_t* first, RecordBatch batch, Py_ssize_t position, Py_ssize_t size,
    int64_t start_offset
) noexcept nogil:
    """Fill in the batch's records from `start_offset` on; how many, or -1 for malformed ones."""
    # Before each step: p is the first byte of record i, and `row` the next row to be filled,
    # which is below the capacity.
    cdef const uint8_t* base = <const uint8_t*>columns._data.buf
    cdef const uint8_t* p = base + position
    cdef const uint8_t* start
    cdef const uint8_t* end = p + size
    cdef int64_t capacity = columns._capacity, row = columns.record_count, offset, alike
    cdef RecordFields fields
    cdef int32_t i = 0
    while i < batch.header.record_count:
        start = p
        p = read_record(p, end, &fields)
        if p == NULL:
            return -1
        i += 1
        if fields.header_count:
            if not headers_are_valid(&fields):
                return -1
            columns.has_headers = True
        offset = batch.header.base_offset + fields.offset_delta
        if offset < start_offset:
            continue
        if row == capacity:
            return row - columns.record_count
        first[row] = offset
        first[TIMESTAMPS * capacity + row] = batch.timestamp_of(fields.timestamp_delta)
        first[KEY_STARTS * capacity + row] = fields.key - base
        first[KEY_LENGTHS * capacity + row] = fields.key_size
        first[VALUE_STARTS * capacity + row] = fields.value - base
        first[VALUE_LENGTHS * capacity + row] = fields.value_size
        columns.null_keys += fields.key_size < 0
        columns.null_values += fields.value_size < 0
        row += 1
        if fields.header_count == 0:
            alike = count_alike(
                &fields, start, p, end, min(batch.header.record_count - i, capacity - row))
            if alike:
                repeat_row(first, capacity, row - 1, alike, p - start)
                columns.null_keys += alike if fields.key_size < 0 else 0
                columns.null_values += alike if fields.value_size < 0 else 0
                row += alike
                i += <int32_t>alike
                p += alike * (p - start)
    return row - columns.record_count if p == end else -1


cdef int64_t count_alike(
    const RecordFields* fields, const uint8_t* start, const uint8_t* behind, const uint8_t* end,
    int64_t limit
) noexcept nogil:
    """How many records behind the one at `start` have its framing and the next offset deltas.

    A record whose framing is that of one that was read needs no reading: its length, attributes,
    timestamp delta, the lengths of key and value and the absence of headers are the same bytes.
    """
    cdef hr_frame frame
    cdef int64_t stride = behind - start, found = 0, length_bytes = 1, last_of_size
    cdef int64_t delta = fields.offset_delta
    cdef int delta_bytes = varint_size(delta)
    cdef const uint8_t* key_end = fields.key + (fields.key_size if fields.key_size > 0 else 0)
    cdef const uint8_t* value_end = fields.value + (
        fields.value_size if fields.value_size > 0 else 0)
    cdef int64_t delta_at
    while start[length_bytes - 1] & 128:
        length_bytes += 1
    # Each number must be written in its shortest form, or its bytes are not where they seem.
    delta_at = length_bytes + 1 + varint_size(fields.timestamp_delta)
    if (delta < 0 or end - behind < stride + COMPARED_BYTES or value_end + 1 != behind
            or delta_at + delta_bytes + varint_size(fields.key_size) != fields.key - start):
        return 0
    if not hr_take_frame(
        &frame, start, delta_at, delta_bytes, fields.key - start, key_end - start,
        fields.value - key_end, stride
    ):
        return 0
    last_of_size = (<int64_t>1 << (7 * delta_bytes - 1)) - 1
    # Invariant: the `found` records from `behind` on are alike, and one more fits before `end`.
    while found < limit and delta < last_of_size:
        delta += 1
        if not hr_frame_matches(&frame, behind, delta):
            break
        found += 1
        behind += stride
        if end - behind < stride + COMPARED_BYTES:
            break
    return found


cdef void repeat_row(
    int64_t* first, int64_t capacity, int64_t row, int64_t count, int64_t stride
) noexcept nogil:
    """Fill `count` rows behind `row` with records of its framing, `stride` bytes apart."""
    cdef int64_t* column
    cdef int64_t value, i
    cdef int which
    for which in range(COLUMN_COUNT):
        column = first + which * capacity + row
        value = column[0]
        if which == OFFSETS:
            for i in range(1, count + 1):
                column[i] = value + i
        elif which == KEY_STARTS or which == VALUE_STARTS:
            for i in range(1, count + 1):
                column[i] = value + i * stride
        else:
            for i in range(1, count + 1):
                column[i] = value
