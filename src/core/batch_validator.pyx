"""What a topic asks of a batch before it may enter its log.

Every batch: whole, magic 2, alone in its request, within max.message.bytes, its CRC, the counts and
flags of its header.  Deeper, and only then: keys where the topic is compacted, each timestamp
where message.timestamp.before.max.ms is set, and the records of a compressed batch, which no
header can vouch for.  An uncompressed batch's records are walked in C.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, int64_t, uint8_t

from .append_info cimport AppendInfo
from .record_batch cimport (
    BATCH_CORRUPT,
    BATCH_TRUNCATED,
    COMPRESSION_MASK,
    CONTROL_BIT,
    LOG_APPEND_TIME_BIT,
    RecordBatch,
    RecordsSummary,
    TRANSACTIONAL_BIT,
    batch_crc_matches,
    read_batch_header,
    restamp_max_timestamp,
    summarize_records,
)

from .batch_builder import BatchBuilder
from .compression import CODEC_IDS
from .errors import (
    CorruptRecordError,
    InvalidRecordError,
    InvalidTimestampError,
    RecordBatchTooLargeError,
    RecordTooLargeError,
    UnsupportedCompressionTypeError,
)
from .record_batch import MAX_UNCOMPRESSED_BYTES

cdef enum:
    MAGIC_POSITION = 16
    ZSTD = 4
    FIRST_ZSTD_PRODUCE_VERSION = 7


cdef class BatchValidator:
    """The rules of one topic's settings; a new one is made when they change."""

    def __init__(self, config):
        name = config.compression_type
        self.max_message_bytes = config.max_message_bytes
        self.segment_bytes = config.segment_bytes
        self.timestamp_before_max_ms = config.message_timestamp_before_max_ms
        self.timestamp_after_max_ms = config.message_timestamp_after_max_ms
        self.is_compacted = config.is_compacted
        self.has_log_append_time = config.message_timestamp_type == "LogAppendTime"
        self._checks_each_timestamp = (
            not self.has_log_append_time and self.timestamp_before_max_ms != INT64_MAX
        )
        if name == "producer":
            self.target_compression = -1
        else:
            self.target_compression = CODEC_IDS["none" if name == "uncompressed" else name]

    def inspect_batch(
        self, records, bint is_client, int produce_version, int64_t now_ms
    ) -> AppendInfo:
        """Check the one batch in `records`; raises a RecordError.  Nothing is changed."""
        return self.inspect(records, is_client, produce_version, now_ms)

    cdef AppendInfo inspect(
        self, records, bint is_client, int produce_version, int64_t now_ms
    ):
        cdef AppendInfo info = AppendInfo.__new__(AppendInfo)
        cdef Py_buffer buffer
        PyObject_GetBuffer(records, &buffer, PyBUF_SIMPLE)
        try:
            self.check_header(
                <const uint8_t*>buffer.buf, buffer.len, info, is_client, produce_version, now_ms)
        finally:
            PyBuffer_Release(&buffer)
        if is_client:
            self.check_records(records, info, now_ms)
        return info

    cpdef bint needs_rewrite(self, AppendInfo info) noexcept:
        if info.header.attributes & CONTROL_BIT:
            return False
        return self.has_log_append_time or (
            self.target_compression >= 0
            and self.target_compression != (info.header.attributes & COMPRESSION_MASK)
        )

    def rewrite_batch(
        self, records, AppendInfo info, int64_t now_ms
    ) -> tuple[bytearray, AppendInfo]:
        """The batch as this topic stores it (its codec, LogAppendTime), and the info on that."""
        cdef int codec_id = info.header.attributes & COMPRESSION_MASK
        cdef bytearray content
        cdef AppendInfo rewritten
        if self.target_compression >= 0 and self.target_compression != codec_id:
            content = _recompress(RecordBatch(records), self.target_compression)
        else:
            content = bytearray(records)
        rewritten = AppendInfo(content)
        if self.has_log_append_time:
            restamp_max_timestamp(<uint8_t*><char*>content, &rewritten.header, now_ms)
            rewritten.log_append_time_ms = now_ms
        return content, rewritten

    cdef int check_header(
        self, const uint8_t* p, int64_t size, AppendInfo info, bint is_client,
        int produce_version, int64_t now_ms
    ) except -1:
        cdef int found
        cdef bint crc_matches
        if size == 0:
            raise InvalidRecordError("the request holds no record batch")
        if size > MAGIC_POSITION and 0 <= p[MAGIC_POSITION] < 2:
            raise InvalidRecordError(
                f"magic {p[MAGIC_POSITION]} is not supported; send record batches of magic 2")
        found = read_batch_header(p, size, &info.header)
        if found == BATCH_TRUNCATED:
            raise CorruptRecordError(f"the record batch is cut off after {size} bytes")
        if found == BATCH_CORRUPT:
            raise CorruptRecordError("this is no record batch: impossible size or magic")
        if info.header.size_bytes != size:
            raise InvalidRecordError(
                f"exactly one record batch is expected; {size - info.header.size_bytes} bytes "
                "follow the first one")
        if size > self.max_message_bytes:
            raise RecordTooLargeError(size, self.max_message_bytes)
        if size > self.segment_bytes:
            raise RecordBatchTooLargeError(
                f"the batch has {size} bytes; segment.bytes is {self.segment_bytes}")
        if size < 65536:
            crc_matches = batch_crc_matches(p, &info.header)
        else:
            with nogil:
                crc_matches = batch_crc_matches(p, &info.header)
        if not crc_matches:
            raise CorruptRecordError("the CRC of the record batch does not match its bytes")
        _check_counts(info)
        if is_client:
            _check_client_flags(info, produce_version)
            if not self.has_log_append_time:
                if info.header.attributes & LOG_APPEND_TIME_BIT:
                    raise InvalidTimestampError(
                        "a producer must not mark its batch with LogAppendTime")
                self.check_timestamps(
                    info, INT64_MAX, info.header.max_timestamp, now_ms)
        return 0

    cdef int check_timestamps(
        self, AppendInfo info, int64_t oldest, int64_t newest, int64_t now_ms
    ) except -1:
        if newest - now_ms > self.timestamp_after_max_ms:
            raise InvalidTimestampError(
                f"timestamp {newest} is {newest - now_ms} ms ahead of the broker's clock; "
                f"message.timestamp.after.max.ms is {self.timestamp_after_max_ms}")
        if oldest >= 0 and now_ms - oldest > self.timestamp_before_max_ms:
            raise InvalidTimestampError(
                f"timestamp {oldest} is {now_ms - oldest} ms behind the broker's clock; "
                f"message.timestamp.before.max.ms is {self.timestamp_before_max_ms}")
        return 0

    cdef int check_records(self, records, AppendInfo info, int64_t now_ms) except -1:
        """Look at the records themselves: structure, counts, keys, timestamps."""
        cdef RecordsSummary summary = summarize_records(
            RecordBatch(records), MAX_UNCOMPRESSED_BYTES)
        if self.is_compacted and summary.first_null_key_index >= 0:
            index = summary.first_null_key_index
            message = "a record of a compacted topic needs a key"
            raise InvalidRecordError(f"record {index}: {message}", ((index, message),))
        if not self.has_log_append_time:
            self.check_timestamps(
                info,
                summary.min_timestamp if self._checks_each_timestamp else INT64_MAX,
                summary.max_timestamp, now_ms)
        return 0


cdef int _check_counts(AppendInfo info) except -1:
    """Raise InvalidRecordError unless the counts of the header agree."""
    if info.header.record_count <= 0:
        raise InvalidRecordError(f"the batch counts {info.header.record_count} records")
    if info.header.record_count - 1 != info.header.last_offset_delta:
        raise InvalidRecordError(
            f"the batch counts {info.header.record_count} records, but its last offset delta is "
            f"{info.header.last_offset_delta}")
    if info.header.attributes & COMPRESSION_MASK > ZSTD:
        raise UnsupportedCompressionTypeError(
            f"compression id {info.header.attributes & COMPRESSION_MASK} is unknown")
    return 0


cdef int _check_client_flags(AppendInfo info, int produce_version) except -1:
    """Raise unless the flags of the header are ones that a client may set."""
    if info.header.attributes & CONTROL_BIT:
        raise InvalidRecordError("clients must not write control batches")
    if info.header.producer_id >= 0 and info.header.base_sequence < 0:
        raise InvalidRecordError(
            f"sequence number {info.header.base_sequence} in a batch with producer id "
            f"{info.header.producer_id}")
    if info.header.attributes & TRANSACTIONAL_BIT and info.header.producer_id < 0:
        raise InvalidRecordError("a transactional batch needs a producer id")
    if (info.header.attributes & COMPRESSION_MASK == ZSTD
            and produce_version < FIRST_ZSTD_PRODUCE_VERSION):
        raise UnsupportedCompressionTypeError(
            f"zstd needs Produce version {FIRST_ZSTD_PRODUCE_VERSION} or newer")
    return 0


cdef bytearray _recompress(RecordBatch batch, int codec_id):
    """The same records in a batch of another codec."""
    names = {each: name for name, each in CODEC_IDS.items()}
    builder = BatchBuilder(
        compression=names[codec_id],
        base_offset=batch.base_offset,
        leader_epoch=batch.leader_epoch,
        producer_id=batch.producer_id,
        producer_epoch=batch.producer_epoch,
        base_sequence=batch.base_sequence,
        is_transactional=batch.is_transactional,
    )
    for record in batch.records():
        builder.append_record(
            timestamp=record.timestamp, key=record.key, value=record.value,
            headers=record.headers)
    return builder.build()
