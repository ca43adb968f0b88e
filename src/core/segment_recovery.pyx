"""Reads a segment batch by batch after a crash: how far it is whole, and what follows.

What stands behind the last whole batch is one of:

    WHOLE        nothing: the file ends there
    RESERVED     zeros only: the tail that was reserved ahead of the writes
    TORN         the beginning of a batch, and then the end of the file or zeros
    DAMAGED      other bytes, with no whole batch after them: a write that was cut off, if this is
                 the last segment
    LOST_PAGES   a whole batch follows, but pages of zeros lie between: the power failed while the
                 kernel was writing pages back in an order of its own
    CORRUPT      a whole batch follows, and the bytes between were changed

The caller decides what to cut (log_recovery).  The indexes are rebuilt on the way.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.string cimport memchr

from .append_info cimport AppendInfo
from .byteorder cimport store_i64
from .log_segment cimport LogSegment
from .mapped_file cimport Mapping
from .record_batch cimport (
    BATCH_HEADER_BYTES,
    BATCH_OK,
    BATCH_TRUNCATED,
    BatchHeader,
    batch_crc_matches,
    read_batch_header,
)

WHOLE = "whole"
RESERVED = "reserved"
TORN = "torn"
DAMAGED = "damaged"
LOST_PAGES = "lost pages"
CORRUPT = "corrupt"
CUT_OFF = "the batch is cut off"

cdef enum:
    MAGIC_POSITION = 16
    MAGIC = 2
    PAGE_BYTES = 4096


cdef class SegmentScan:
    """How far a segment is whole, and what follows."""


def recover_segment(LogSegment segment, *, bint allows_gaps, on_batch) -> SegmentScan:
    """Scan `segment` from its start, rebuild its indexes, and judge what follows.

    `on_batch(info, segment, position)` hears of each batch of an idempotent producer and of each
    with a new leader epoch.  Without `allows_gaps`, offsets must follow one another exactly.
    """
    cdef SegmentScan scan = SegmentScan.__new__(SegmentScan)
    cdef AppendInfo info
    cdef BatchHeader header
    cdef int32_t leader_epoch = -1
    cdef int64_t position = 0, size = segment.log.size_bytes, expected = segment.base_offset
    cdef const uint8_t* data
    # Held while the GIL is not: another store may need the room of idle files' mappings.
    cdef Mapping _held
    # Made with their first entry: a thousand short logs do without two thousand index files.
    segment.drop_indexes()
    scan.reason = ""
    # Invariant: the batches before `position` are whole, in order, and end below `expected`.
    while position < size:
        data = segment.log.data() + position
        _held = segment.log._mapping
        scan.reason = _fault_of(data, size - position, &header, segment, expected, allows_gaps)
        if scan.reason:
            break
        segment.index_batch(&header, header.base_offset, position)
        if header.producer_id >= 0 or header.leader_epoch != leader_epoch:
            leader_epoch = header.leader_epoch
            info = AppendInfo.__new__(AppendInfo)
            info.header = header
            info.assign(header.base_offset, header.leader_epoch)
            on_batch(info, segment, position)
        expected = header.base_offset + header.last_offset_delta + 1
        position += header.size_bytes
    segment.next_offset = expected
    scan.valid_bytes = position
    scan.next_offset = expected
    scan.intact_position = -1
    if position == size:
        scan.kind = WHOLE
    else:
        _judge_rest(scan, segment.log.data(), size)
    return scan


cdef str _fault_of(
    const uint8_t* data, int64_t available, BatchHeader* header, LogSegment segment,
    int64_t expected, bint allows_gaps
):
    """What is wrong with the batch at `data`; "" when it is whole and in its place."""
    cdef int found = read_batch_header(data, available, header)
    cdef bint crc_matches
    if found == BATCH_TRUNCATED:
        return CUT_OFF
    if found != BATCH_OK:
        return "no record batch starts here"
    with nogil:
        crc_matches = batch_crc_matches(data, header)
    if not crc_matches:
        return "the CRC does not match"
    if header.base_offset < expected or (header.base_offset > expected and not allows_gaps):
        return f"its offset is {header.base_offset}, not {expected}"
    if (header.last_offset_delta < 0
            or header.base_offset + header.last_offset_delta - segment.base_offset > INT32_MAX):
        return f"its offset {header.base_offset} is too far from {segment.base_offset}"
    return ""


cdef int _judge_rest(SegmentScan scan, const uint8_t* data, int64_t size) except -1:
    cdef int64_t end = size
    cdef int64_t start = scan.valid_bytes
    with nogil:
        while end > start and data[end - 1] == 0:
            end -= 1
    scan.cut_bytes = end - start
    if end == start:
        scan.kind = RESERVED
        return 0
    with nogil:
        scan.intact_position = find_intact_batch(data, start, size, scan.next_offset)
    if scan.intact_position < 0:
        is_torn = scan.reason == CUT_OFF or has_lost_page(data, start, size, scan.next_offset)
        scan.kind = TORN if is_torn else DAMAGED
    elif has_lost_page(data, start, scan.intact_position, scan.next_offset):
        scan.kind = LOST_PAGES
    else:
        scan.kind = CORRUPT
    return 0


cdef int64_t find_intact_batch(
    const uint8_t* data, int64_t start, int64_t size, int64_t offset
) noexcept nogil:
    cdef BatchHeader header
    cdef int64_t position = start + 1
    cdef const uint8_t* magic
    # Invariant: no whole batch starts between `start` and `position`.
    while position + BATCH_HEADER_BYTES <= size:
        magic = <const uint8_t*>memchr(
            data + position + MAGIC_POSITION, MAGIC, size - position - MAGIC_POSITION)
        if magic is NULL:
            return -1
        position = magic - data - MAGIC_POSITION
        if read_batch_header(data + position, size - position, &header) == BATCH_OK:
            if offset <= header.base_offset <= offset + INT32_MAX:
                if batch_crc_matches(data + position, &header):
                    return position
        position += 1
    return -1


cdef bint has_lost_page(
    const uint8_t* data, int64_t start, int64_t end, int64_t offset
) noexcept nogil:
    cdef int64_t page_end = (start // PAGE_BYTES + 1) * PAGE_BYTES
    cdef int64_t tail_bytes = page_end - start
    cdef uint8_t expected[8]
    store_i64(expected, offset)
    # The page that `start` lies in: synced up to there, perhaps, and zeros from there on.  A batch
    # has zeros of its own in the first bytes, so those only count where others were expected.
    if page_end <= end and is_zero(data + start, tail_bytes):
        if tail_bytes > MAGIC_POSITION or not is_zero(expected, min(tail_bytes, 8)):
            return True
    while page_end + PAGE_BYTES <= end:
        if is_zero(data + page_end, PAGE_BYTES):
            return True
        page_end += PAGE_BYTES
    return False


cdef bint is_zero(const uint8_t* data, int64_t count) noexcept nogil:
    cdef int64_t position = 0
    while position < count and data[position] == 0:
        position += 1
    return position == count


def replay_segment(LogSegment segment, int64_t start_offset, on_batch) -> None:
    """Tell `on_batch` of the batches at `start_offset` and above, as recover_segment does.

    Trusts the bytes: for what a clean stop or a sync vouches for.
    """
    cdef AppendInfo info
    cdef BatchHeader header
    cdef int32_t leader_epoch = -1
    cdef int64_t position = segment.find_position(start_offset)
    while 0 <= position < segment.log.size_bytes:
        segment.read_header_at(position, &header)
        if header.producer_id >= 0 or header.leader_epoch != leader_epoch:
            leader_epoch = header.leader_epoch
            info = AppendInfo.__new__(AppendInfo)
            info.header = header
            info.assign(header.base_offset, header.leader_epoch)
            on_batch(info, segment, position)
        position += header.size_bytes
