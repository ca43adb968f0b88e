"""Builds one RecordBatch a record at a time: for coordinators, compaction, markers and tests.

Whole columns of records are encoded faster by `batch_encoder`.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

from .record cimport record_body_size, write_record
from .record_batch cimport (
    BATCH_HEADER_BYTES, CONTROL_BIT, DELETE_HORIZON_BIT, LOG_APPEND_TIME_BIT, TRANSACTIONAL_BIT,
    write_batch_header,
)
from .varint cimport varint_size, write_varint

from .compression import CODEC_IDS, compress
from .errors import RecordBatchTooLargeError, RecordTypeError, UnsupportedCompressionTypeError

cdef enum:
    FIRST_CAPACITY_BYTES = 512
    LENGTH_PREFIX_BYTES = 5
    LARGEST_BATCH_BYTES = 0x7FFFFFFF

_TIMESTAMP_BITS = {"CreateTime": 0, "LogAppendTime": LOG_APPEND_TIME_BIT}


@cython.final
cdef class BatchBuilder:
    """One batch in the making; not safe to share between threads.

    `compression` is one of none, gzip, snappy, lz4, zstd.  `timestamp_type` LogAppendTime gives
    every record the largest timestamp appended.  A `delete_horizon_ms` becomes the base_timestamp
    (KIP-534).  Raises UnsupportedCompressionTypeError or ValueError for names it does not know.
    """

    def __init__(
        self, *, str compression="none", compression_level=None, int64_t base_offset=0,
        int32_t leader_epoch=-1, int64_t producer_id=-1, producer_epoch=-1,
        int32_t base_sequence=-1, bint is_transactional=False, bint is_control=False,
        str timestamp_type="CreateTime", delete_horizon_ms=None
    ):
        if compression not in CODEC_IDS:
            raise UnsupportedCompressionTypeError(
                f"compression {compression!r} is unknown; use one of {', '.join(CODEC_IDS)}")
        if timestamp_type not in _TIMESTAMP_BITS:
            raise ValueError(
                f"timestamp_type {timestamp_type!r} is unknown; use CreateTime or LogAppendTime")
        self._codec_id = CODEC_IDS[compression]
        self._level = compression_level
        self._bytes = bytearray(FIRST_CAPACITY_BYTES)
        self._used = BATCH_HEADER_BYTES
        self.record_count = 0
        self.last_offset_delta = -1
        self.header.base_offset = base_offset
        self.header.leader_epoch = leader_epoch
        self.header.producer_id = producer_id
        self.header.producer_epoch = producer_epoch
        self.header.base_sequence = base_sequence
        self.header.base_timestamp = self.header.max_timestamp = -1
        self.header.attributes = self._codec_id | <int>_TIMESTAMP_BITS[timestamp_type]
        if is_transactional:
            self.header.attributes |= TRANSACTIONAL_BIT
        if is_control:
            self.header.attributes |= CONTROL_BIT
        self._has_base_timestamp = delete_horizon_ms is not None
        if delete_horizon_ms is not None:
            self.header.attributes |= DELETE_HORIZON_BIT
            self.header.base_timestamp = delete_horizon_ms

    @property
    def size_bytes(self):
        """The size of the batch so far, before compression."""
        return self._used

    def append_record(self, *, int64_t timestamp, key, value, headers=(), offset_delta=None):
        """Append one record with `timestamp` in ms; None for a null key or value.

        `headers` are pairs of text and bytes (or None), kept in order.  `offset_delta` may leave
        gaps but must grow; by default it is the next.  Raises ValueError for one that does not,
        TypeError for a key or value that is no bytes, RecordBatchTooLargeError past 2 GiB.
        """
        cdef int64_t delta = self.last_offset_delta + 1
        if offset_delta is not None:
            if not delta <= offset_delta <= 0x7FFFFFFF:
                raise ValueError(f"offset_delta {offset_delta} must be at least {delta}")
            delta = offset_delta
        cdef bytes key_bytes = as_bytes(key, "key")
        cdef bytes value_bytes = as_bytes(value, "value")
        cdef bytes header_bytes = encode_headers(headers) if headers else b""
        cdef int64_t header_count = len(headers), header_size = len(header_bytes)
        cdef int64_t key_size = -1, value_size = -1
        cdef const uint8_t* key_start = NULL
        cdef const uint8_t* value_start = NULL
        if key_bytes is not None:
            key_start = <const uint8_t*>PyBytes_AS_STRING(key_bytes)
            key_size = len(key_bytes)
        if value_bytes is not None:
            value_start = <const uint8_t*>PyBytes_AS_STRING(value_bytes)
            value_size = len(value_bytes)
        cdef int64_t base_timestamp = timestamp
        if self._has_base_timestamp:
            base_timestamp = self.header.base_timestamp
        cdef int64_t body_size = record_body_size(
            timestamp - base_timestamp, delta, key_size, value_size, header_count, header_size)
        cdef uint8_t* start = self.reserve(LENGTH_PREFIX_BYTES + body_size)
        cdef uint8_t* p = write_record(
            start, body_size, timestamp - base_timestamp, delta, key_start, key_size,
            value_start, value_size, header_count)
        memcpy(p, PyBytes_AS_STRING(header_bytes), header_size)
        self._used += p + header_size - start
        self.header.base_timestamp = base_timestamp
        self._has_base_timestamp = True
        if timestamp > self.header.max_timestamp or self.record_count == 0:
            self.header.max_timestamp = timestamp
        self.record_count += 1
        self.last_offset_delta = <int32_t>delta

    cdef uint8_t* reserve(self, Py_ssize_t size_bytes) except NULL:
        """Room for `size_bytes` behind what is used; valid until the next call."""
        cdef Py_ssize_t needed = self._used + size_bytes
        if needed > LARGEST_BATCH_BYTES:
            raise RecordBatchTooLargeError(f"a batch of {needed} bytes; the format ends at 2 GiB")
        if needed > PyByteArray_GET_SIZE(self._bytes):
            PyByteArray_Resize(self._bytes, max(needed, 2 * PyByteArray_GET_SIZE(self._bytes)))
        return <uint8_t*>PyByteArray_AS_STRING(self._bytes) + self._used

    def build(self, *, last_offset_delta=None):
        """The finished batch, its own bytes; the builder may go on and build a longer one.

        `last_offset_delta` (compaction keeps the one of the batch that it rewrites) may pass that
        of the last record; it must be given for a batch without records.  ValueError otherwise.
        """
        cdef int64_t delta = self.last_offset_delta
        if last_offset_delta is not None:
            delta = last_offset_delta
        if delta < self.last_offset_delta or delta < 0:
            raise ValueError(
                f"last_offset_delta {delta} must be at least {max(self.last_offset_delta, 0)}")
        cdef bytearray batch
        if self._codec_id:
            records = memoryview(self._bytes)[BATCH_HEADER_BYTES:self._used]
            batch = bytearray(BATCH_HEADER_BYTES)
            batch += compress(self._codec_id, records, self._level)
        else:
            batch = self._bytes[:self._used]
        if len(batch) > LARGEST_BATCH_BYTES:
            raise RecordBatchTooLargeError(f"a batch of {len(batch)} bytes after compression")
        self.header.size_bytes = <int32_t>PyByteArray_GET_SIZE(batch)
        self.header.record_count = self.record_count
        self.header.last_offset_delta = <int32_t>delta
        write_batch_header(<uint8_t*>PyByteArray_AS_STRING(batch), &self.header)
        return batch


cdef bytes as_bytes(content, str what):
    if content is None or type(content) is bytes:
        return content
    try:
        return bytes(memoryview(content))
    except TypeError:
        raise RecordTypeError(what, None, type(content).__name__) from None


cdef bytes encode_headers(headers):
    pieces = []
    for name, content in headers:
        if not isinstance(name, str):
            raise TypeError(f"a header's key must be str, not {type(name).__name__}")
        encoded = name.encode()
        pieces.append(encode_varint(len(encoded)))
        pieces.append(encoded)
        value = as_bytes(content, "header value")
        pieces.append(encode_varint(-1 if value is None else len(value)))
        if value:
            pieces.append(value)
    return b"".join(pieces)


cdef bytes encode_varint(int64_t value):
    cdef uint8_t room[10]
    write_varint(room, value)
    return (<const char*>room)[:varint_size(value)]
