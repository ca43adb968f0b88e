"""RecordBatch v2: its header as a C struct, checks and stamps on raw bytes, and the view."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t

cdef enum:
    BATCH_HEADER_BYTES = 61          # up to the first record
    CRC_START = 21                   # the CRC covers the bytes from here to the end
    COMPRESSION_MASK = 0x07
    LOG_APPEND_TIME_BIT = 0x08
    TRANSACTIONAL_BIT = 0x10
    CONTROL_BIT = 0x20
    DELETE_HORIZON_BIT = 0x40

cdef enum:
    BATCH_OK = 0
    BATCH_TRUNCATED = 1
    BATCH_CORRUPT = 2

ctypedef struct BatchHeader:
    int64_t base_offset
    int32_t size_bytes               # the whole batch: 12 + batch_length
    int32_t leader_epoch             # partition_leader_epoch
    int8_t magic
    uint32_t crc
    int16_t attributes
    int32_t last_offset_delta
    int64_t base_timestamp           # [ms]; the delete horizon where DELETE_HORIZON_BIT is set
    int64_t max_timestamp            # [ms]
    int64_t producer_id              # -1: not idempotent
    int16_t producer_epoch
    int32_t base_sequence
    int32_t record_count


# Reads the header at `p`, of which `available_bytes` may be touched.  BATCH_OK; BATCH_TRUNCATED:
# fewer than 61 bytes (`header` untouched) or fewer than size_bytes; BATCH_CORRUPT: an impossible
# size or magic (zeros of a reserved tail read as this).  Looks at neither CRC nor records.
cdef int read_batch_header(
    const uint8_t* p, int64_t available_bytes, BatchHeader* header) noexcept nogil
# True where the CRC in `header` is that of the whole batch at `p`.
cdef bint batch_crc_matches(const uint8_t* p, const BatchHeader* header) noexcept nogil
# Writes the two fields a leader decides; neither is under the CRC.
cdef void stamp_batch(uint8_t* p, int64_t base_offset, int32_t leader_epoch) noexcept nogil
# LogAppendTime: sets bit 3 and max_timestamp and renews the CRC, in the bytes and in `header`.
cdef void restamp_max_timestamp(
    uint8_t* p, BatchHeader* header, int64_t max_timestamp) noexcept nogil
# Writes all 61 bytes of `header` at `p`, whose records stand already, and the CRC over them.
cdef void write_batch_header(uint8_t* p, BatchHeader* header) noexcept nogil


cdef class RecordBatch:
    cdef BatchHeader header
    cdef const uint8_t* start        # first byte of the batch; `_buffer` owns it
    cdef Py_buffer _buffer
    cdef bint _is_held

    # The records' bytes, uncompressed: self.payload(), or a new object that holds them.
    cpdef object uncompressed_payload(self, int64_t max_bytes=*)
    # The timestamp [ms] of a record with this delta, LogAppendTime considered.
    cdef int64_t timestamp_of(self, int64_t timestamp_delta) noexcept nogil


cdef class RecordsSummary:
    cdef readonly int32_t count
    cdef readonly int64_t max_timestamp              # [ms], -1 for an empty batch
    cdef readonly int64_t offset_of_max_timestamp    # of the earliest such record, -1 for none
    cdef readonly int32_t first_null_key_index       # counted within the batch, -1 for none
    cdef readonly int64_t min_timestamp              # [ms], -1 for an empty batch


# What `inspect_records` does, without a Python call.
cdef RecordsSummary summarize_records(RecordBatch batch, int64_t max_bytes)
