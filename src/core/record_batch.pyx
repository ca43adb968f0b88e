"""RecordBatch v2: the unit that is produced, stored, replicated and fetched, byte for byte one.

    OFFSET  SIZE  FIELD                   big-endian; the CRC covers byte 21 to the end
         0     8  base_offset             of the first record; written by the leader
         8     4  batch_length            bytes behind this field: size_bytes - 12
        12     4  partition_leader_epoch  written by the leader
        16     1  magic                   2
        17     4  crc                     CRC-32C
        21     2  attributes              bits 0-2 compression, 3 LogAppendTime, 4 transactional,
                                          5 control, 6 base_timestamp is the delete horizon
        23     4  last_offset_delta       last_offset - base_offset, also after compaction
        27     8  base_timestamp          [ms]; the deltas of the records count from it
        35     8  max_timestamp           [ms]
        43     8  producer_id             -1 where not idempotent
        51     2  producer_epoch
        53     4  base_sequence           -1 where not idempotent
        57     4  record_count
        61        records                 see record.pyx; compressed as one piece

Source: Kafka docs "Message Format", "Record Batch"; KIP-98, KIP-534 (delete horizon).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int32_t, int64_t, uint8_t
from libc.string cimport memset

from .byteorder cimport load_i16, load_i32, load_i64, load_u32, store_i16, store_i32, store_i64
from .crc32c cimport crc32c_update
from .held_buffer cimport hold_buffer
from .record cimport (
    RecordFields,
    headers_are_valid,
    make_record,
    read_plain_record,
    read_record,
)

from .compression import decompress
from .errors import CorruptRecordError, InvalidRecordError

# What one batch may unfold to [bytes], unless the caller sets another bound.
MAX_UNCOMPRESSED_BYTES = 256 * 1024 * 1024

cdef enum:
    MAGIC_2 = 2
    SEQUENCE_MASK = 0x7FFFFFFF       # after 2147483647 comes 0


cdef int read_batch_header(
    const uint8_t* p, int64_t available_bytes, BatchHeader* header
) noexcept nogil:
    cdef int64_t size_bytes
    if available_bytes < BATCH_HEADER_BYTES:
        return BATCH_TRUNCATED
    header.base_offset = load_i64(p)
    size_bytes = 12 + <int64_t>load_i32(p + 8)
    header.size_bytes = <int32_t>size_bytes
    header.leader_epoch = load_i32(p + 12)
    header.magic = <int8_t>p[16]
    header.crc = load_u32(p + 17)
    header.attributes = load_i16(p + 21)
    header.last_offset_delta = load_i32(p + 23)
    header.base_timestamp = load_i64(p + 27)
    header.max_timestamp = load_i64(p + 35)
    header.producer_id = load_i64(p + 43)
    header.producer_epoch = load_i16(p + 51)
    header.base_sequence = load_i32(p + 53)
    header.record_count = load_i32(p + 57)
    if header.magic != MAGIC_2 or size_bytes < BATCH_HEADER_BYTES or size_bytes > 0x7FFFFFFF:
        return BATCH_CORRUPT
    return BATCH_OK if size_bytes <= available_bytes else BATCH_TRUNCATED


cdef bint batch_crc_matches(const uint8_t* p, const BatchHeader* header) noexcept nogil:
    return crc32c_update(0, p + CRC_START, header.size_bytes - CRC_START) == header.crc


cdef void stamp_batch(uint8_t* p, int64_t base_offset, int32_t leader_epoch) noexcept nogil:
    store_i64(p, base_offset)
    store_i32(p + 12, leader_epoch)


cdef void restamp_max_timestamp(
    uint8_t* p, BatchHeader* header, int64_t max_timestamp
) noexcept nogil:
    header.attributes |= LOG_APPEND_TIME_BIT
    header.max_timestamp = max_timestamp
    store_i16(p + 21, header.attributes)
    store_i64(p + 35, max_timestamp)
    header.crc = crc32c_update(0, p + CRC_START, header.size_bytes - CRC_START)
    store_i32(p + 17, <int32_t>header.crc)


cdef void write_batch_header(uint8_t* p, BatchHeader* header) noexcept nogil:
    header.magic = MAGIC_2
    store_i64(p, header.base_offset)
    store_i32(p + 8, header.size_bytes - 12)
    store_i32(p + 12, header.leader_epoch)
    p[16] = MAGIC_2
    store_i16(p + 21, header.attributes)
    store_i32(p + 23, header.last_offset_delta)
    store_i64(p + 27, header.base_timestamp)
    store_i64(p + 35, header.max_timestamp)
    store_i64(p + 43, header.producer_id)
    store_i16(p + 51, header.producer_epoch)
    store_i32(p + 53, header.base_sequence)
    store_i32(p + 57, header.record_count)
    header.crc = crc32c_update(0, p + CRC_START, header.size_bytes - CRC_START)
    store_i32(p + 17, <int32_t>header.crc)


@cython.final
@cython.freelist(64)
cdef class RecordBatch:
    """The batch that starts `position` bytes into `buffer`, read in place.

    Holds the buffer (a mapping included) for as long as it lives; copies nothing.  The attributes
    are what the header said when the batch was made; neither CRC nor records are looked at until
    asked.  Raises CorruptRecordError where no whole v2 batch stands there.
    """

    def __cinit__(self, buffer, Py_ssize_t position=0):
        hold_buffer(buffer, &self._buffer)
        self._is_held = True
        if position < 0 or position > self._buffer.len:
            raise ValueError(f"position {position} is outside the {self._buffer.len} bytes given")
        self.start = <const uint8_t*>self._buffer.buf + position
        cdef int64_t available = self._buffer.len - position
        cdef int found = read_batch_header(self.start, available, &self.header)
        if found != BATCH_OK:
            raise CorruptRecordError(
                describe_bad_header(found, position, available, &self.header))

    def __dealloc__(self):
        if self._is_held:
            PyBuffer_Release(&self._buffer)

    def __repr__(self):
        return (
            f"RecordBatch(offsets {self.base_offset}..{self.last_offset}, "
            f"{self.record_count} records, {self.size_bytes} bytes)"
        )

    @property
    def base_offset(self):
        """The offset of the first record (or of the first one before compaction)."""
        return self.header.base_offset

    @property
    def last_offset(self):
        """The last offset the batch spans, inclusive; kept by compaction."""
        return self.header.base_offset + self.header.last_offset_delta

    @property
    def next_offset(self):
        """The first offset behind the batch."""
        return self.header.base_offset + self.header.last_offset_delta + 1

    @property
    def size_bytes(self):
        """The whole batch with its header."""
        return self.header.size_bytes

    @property
    def leader_epoch(self):
        """The partition_leader_epoch under which it was appended."""
        return self.header.leader_epoch

    @property
    def magic(self):
        """The format's version: always 2."""
        return self.header.magic

    @property
    def crc(self):
        """The CRC-32C as written in the header."""
        return self.header.crc

    @property
    def attributes(self):
        """The flag bits as one number; the table above names them."""
        return self.header.attributes

    @property
    def last_offset_delta(self):
        """last_offset - base_offset."""
        return self.header.last_offset_delta

    @property
    def base_timestamp(self):
        """Where the records' timestamp deltas count from [ms]."""
        return self.header.base_timestamp

    @property
    def max_timestamp(self):
        """The largest timestamp [ms], or the append time; -1 for none."""
        return self.header.max_timestamp

    @property
    def producer_id(self):
        """The idempotent producer, or -1."""
        return self.header.producer_id

    @property
    def producer_epoch(self):
        """The producer's epoch, or -1."""
        return self.header.producer_epoch

    @property
    def base_sequence(self):
        """The sequence of the first record, or -1."""
        return self.header.base_sequence

    @property
    def last_sequence(self):
        """The sequence of the last record, or -1; 0 follows 2147483647."""
        if self.header.base_sequence < 0:
            return -1
        return (<int64_t>self.header.base_sequence + self.header.last_offset_delta) & SEQUENCE_MASK

    @property
    def record_count(self):
        """How many records it holds; fewer than its offsets after compaction."""
        return self.header.record_count

    @property
    def compression_id(self):
        """0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 are unassigned."""
        return self.header.attributes & COMPRESSION_MASK

    @property
    def is_transactional(self):
        """Written inside a transaction (a marker too)."""
        return (self.header.attributes & TRANSACTIONAL_BIT) != 0

    @property
    def is_control(self):
        """A commit or abort marker, which no consumer sees."""
        return (self.header.attributes & CONTROL_BIT) != 0

    @property
    def has_log_append_time(self):
        """Every record's timestamp is max_timestamp."""
        return (self.header.attributes & LOG_APPEND_TIME_BIT) != 0

    @property
    def delete_horizon_ms(self):
        """From when on tombstones and markers may go [ms], or None (KIP-534)."""
        if self.header.attributes & DELETE_HORIZON_BIT:
            return self.header.base_timestamp
        return None

    def crc_is_valid(self):
        """True where the bytes are those the CRC was made of."""
        return batch_crc_matches(self.start, &self.header)

    def view(self):
        """The whole batch as a memoryview over the buffer, uncopied."""
        view = memoryview(<object>self._buffer.obj)
        if view.ndim != 1 or view.itemsize != 1 or view.format != "B":
            view = view.cast("B")
        cdef Py_buffer* under = PyMemoryView_GET_BUFFER(view)
        if self._buffer.readonly and not under.readonly:
            view = view.toreadonly()
        cdef Py_ssize_t position = self.start - <const uint8_t*>under.buf
        return view[position:position + self.header.size_bytes]

    def payload(self):
        """The records as they are stored, compressed or not, uncopied."""
        return self.view()[BATCH_HEADER_BYTES:]

    cpdef object uncompressed_payload(self, int64_t max_bytes=MAX_UNCOMPRESSED_BYTES):
        """The records' plain bytes: a view where stored plain, else a new object.

        Raises CorruptRecordError for bytes that do not decompress, or to more than `max_bytes`;
        UnsupportedCompressionTypeError for an unassigned codec.
        """
        cdef int codec_id = self.header.attributes & COMPRESSION_MASK
        if codec_id == 0:
            return self.payload()
        return decompress(codec_id, self.payload(), max_bytes=max_bytes)

    cdef int64_t timestamp_of(self, int64_t timestamp_delta) noexcept nogil:
        if self.header.attributes & LOG_APPEND_TIME_BIT:
            return self.header.max_timestamp
        # Unsigned, because a hostile delta may wrap.
        return <int64_t>(<unsigned long long>self.header.base_timestamp + timestamp_delta)

    def records(self, int64_t max_bytes=MAX_UNCOMPRESSED_BYTES):
        """Yield each `Record`, decompressed; every one owns its bytes.

        Raises CorruptRecordError where bytes are no record or their count is not record_count,
        and what `uncompressed_payload` raises.
        """
        cdef Py_buffer buffer
        cdef RecordFields fields
        cdef const uint8_t* p
        cdef const uint8_t* end
        cdef int32_t index
        PyObject_GetBuffer(self.uncompressed_payload(max_bytes), &buffer, PyBUF_SIMPLE)
        try:
            p = <const uint8_t*>buffer.buf
            end = p + buffer.len
            for index in range(self.header.record_count):
                p = read_record(p, end, &fields)
                if p == NULL:
                    raise CorruptRecordError(f"record {index} of {self!r} is malformed")
                yield make_record(
                    &fields,
                    self.header.base_offset + fields.offset_delta,
                    self.timestamp_of(fields.timestamp_delta),
                )
            if p != end:
                raise CorruptRecordError(f"{end - p} bytes follow the last record of {self!r}")
        finally:
            PyBuffer_Release(&buffer)


cdef str describe_bad_header(
    int found, Py_ssize_t position, int64_t available, const BatchHeader* header
):
    if available < BATCH_HEADER_BYTES:
        return (
            f"{available} bytes at byte {position} are no record batch: its header alone has "
            f"{BATCH_HEADER_BYTES}"
        )
    if header.magic != MAGIC_2:
        return f"the record batch at byte {position} has magic {header.magic}; only 2 is supported"
    if found == BATCH_TRUNCATED:
        return (
            f"the record batch at byte {position} says it has {header.size_bytes} bytes, "
            f"but only {available} are there"
        )
    return f"the record batch at byte {position} has an impossible batch_length"


def iter_batches(buffer):
    """Yield the `RecordBatch`es that stand back to back in `buffer`, in order.

    Raises CorruptRecordError at the first bytes that are no whole batch, a cut-off last one too.
    """
    cdef Py_ssize_t position = 0, size_bytes = memoryview(buffer).nbytes
    cdef RecordBatch batch
    while position < size_bytes:
        batch = RecordBatch(buffer, position)
        position += batch.header.size_bytes
        yield batch


@cython.final
cdef class RecordsSummary:
    """What a walk over a batch's records found; `inspect_records` makes them."""

    def __repr__(self):
        return (
            f"RecordsSummary(count={self.count}, max_timestamp={self.max_timestamp}, "
            f"offset_of_max_timestamp={self.offset_of_max_timestamp}, "
            f"first_null_key_index={self.first_null_key_index}, "
            f"min_timestamp={self.min_timestamp})"
        )


cdef enum:
    RECORDS_OK = 0
    RECORD_MALFORMED
    RECORD_OUT_OF_ORDER
    RECORDS_LEFT_OVER

ctypedef struct RecordsScan:
    int32_t index                    # of the record under the loop: where it stopped
    int64_t max_timestamp
    int64_t min_timestamp
    int32_t delta_of_max             # offset_delta of the earliest record with max_timestamp
    int32_t first_null_key_index


cdef int scan_records(
    RecordBatch batch, const uint8_t* p, const uint8_t* end, RecordsScan* scan
) noexcept nogil:
    # Before each step: records 0..index-1 are well-formed, p is the first byte of record `index`,
    # and previous_delta is the offset_delta of the one before.
    cdef RecordFields fields
    cdef const uint8_t* next_record
    cdef int64_t timestamp, max_timestamp = INT64_MIN, min_timestamp = INT64_MAX
    cdef int32_t index, previous_delta = -1, first_null_key_index = -1
    cdef int32_t last_offset_delta = batch.header.last_offset_delta
    cdef int32_t record_count = batch.header.record_count
    for index in range(record_count):
        next_record = read_plain_record(p, end, &fields)
        if next_record == NULL:
            scan.index = index
            next_record = read_record(p, end, &fields)
            if next_record == NULL or (fields.header_count and not headers_are_valid(&fields)):
                return RECORD_MALFORMED
        p = next_record
        if fields.offset_delta <= previous_delta or fields.offset_delta > last_offset_delta:
            scan.index = index
            return RECORD_OUT_OF_ORDER
        previous_delta = fields.offset_delta
        timestamp = batch.timestamp_of(fields.timestamp_delta)
        if timestamp > max_timestamp or index == 0:
            max_timestamp = timestamp
            scan.delta_of_max = fields.offset_delta
        min_timestamp = min(min_timestamp, timestamp)
        if fields.key_size < 0 and first_null_key_index < 0:
            first_null_key_index = index
    scan.index = record_count
    if record_count:
        scan.max_timestamp = max_timestamp
        scan.min_timestamp = min_timestamp
    scan.first_null_key_index = first_null_key_index
    return RECORDS_OK if p == end else RECORDS_LEFT_OVER


def inspect_records(RecordBatch batch not None, int64_t max_bytes=MAX_UNCOMPRESSED_BYTES):
    """Walk all records of `batch` and check them; a `RecordsSummary` without an object a record.

    Raises InvalidRecordError (with the index of the record to blame) where a record is malformed,
    offset deltas do not grow or pass last_offset_delta, or the count is not record_count; and
    what `uncompressed_payload` raises.
    """
    return summarize_records(batch, max_bytes)


cdef RecordsSummary summarize_records(RecordBatch batch, int64_t max_bytes):
    cdef Py_buffer buffer
    cdef RecordsScan scan
    cdef int found
    if batch.header.record_count < 0:
        raise InvalidRecordError(f"{batch!r} has a negative record count")
    memset(&scan, 0, sizeof(scan))
    scan.max_timestamp = scan.min_timestamp = scan.first_null_key_index = -1
    if batch.header.attributes & COMPRESSION_MASK:
        PyObject_GetBuffer(batch.uncompressed_payload(max_bytes), &buffer, PyBUF_SIMPLE)
        try:
            found = scan_records(
                batch, <const uint8_t*>buffer.buf, <const uint8_t*>buffer.buf + buffer.len, &scan)
        finally:
            PyBuffer_Release(&buffer)
    else:
        found = scan_records(
            batch, batch.start + BATCH_HEADER_BYTES, batch.start + batch.header.size_bytes, &scan)
    if found != RECORDS_OK:
        raise invalid_records(batch, found, scan.index)
    return make_summary(batch, &scan)


cdef RecordsSummary make_summary(RecordBatch batch, const RecordsScan* scan):
    cdef RecordsSummary summary = RecordsSummary.__new__(RecordsSummary)
    summary.count = batch.header.record_count
    summary.max_timestamp = scan.max_timestamp
    summary.offset_of_max_timestamp = -1
    if summary.count:
        summary.offset_of_max_timestamp = batch.header.base_offset + scan.delta_of_max
    summary.first_null_key_index = scan.first_null_key_index
    summary.min_timestamp = scan.min_timestamp
    return summary


cdef object invalid_records(RecordBatch batch, int found, int32_t index):
    if found == RECORDS_LEFT_OVER:
        return InvalidRecordError(f"bytes follow the {batch.record_count} records of {batch!r}")
    reason = "malformed" if found == RECORD_MALFORMED else "out of order"
    return InvalidRecordError(f"record {index} of {batch!r} is {reason}", ((index, reason),))
