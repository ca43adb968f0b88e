"""Batches of one leader epoch, stored in one piece as they are: how a follower appends.

One pass looks at every header and compares every CRC, one write moves the bytes, and a second pass
over the headers brings the indexes up to date; both are those that the leader would have written.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t

from .append_info cimport AppendInfo
from .log_segment cimport LogSegment
from .mapped_file cimport ROOM_BYTES
from .offset_index cimport OFFSET_ENTRY_BYTES, OffsetIndex
from .record_batch cimport BATCH_OK, BatchHeader, batch_crc_matches, read_batch_header
from .time_index cimport TIME_ENTRY_BYTES, TimeIndex

from .errors import CorruptRecordError

cdef enum:
    # Fewer bytes are checked sooner than the GIL is given away and taken back.
    GIL_FREE_BYTES = 65536


cdef int64_t store_run(
    LogSegment segment, records, const uint8_t* data, int64_t size, int64_t position,
    int64_t now_ms, list of_producers
) except -1:
    cdef Run run
    cdef RunLimits limits = limits_of(segment, now_ms)
    if size - position < GIL_FREE_BYTES:
        run = walk_run(data, position, size, limits)
    else:
        with nogil:
            run = walk_run(data, position, size, limits)
    if run.batch_count == 0:
        raise CorruptRecordError(f"no intact record batch at byte {position}")
    reserve_run(segment, run, position)
    segment._compared_from = min(segment._compared_from, segment.log.size_bytes)
    segment.log.append_pieces(NULL, 0, data + position, run.end - position)
    index_run(segment, data, position, run.end)
    if run.has_producers:
        note_producers(records, data, position, run.end, of_producers)
    return run.end


def make_room(LogSegment segment, int64_t size_bytes) -> int:
    """Make pages for a part of the `size_bytes` that come next; how many bytes still have none.

    What does not fit into `segment` is not counted.  A part is small: who calls holds nobody up
    for long.
    """
    cdef int64_t end = min(segment.log.size_bytes + size_bytes, segment.log.max_bytes)
    cdef int64_t made_before = segment.log._warm_end
    segment.log.reserve(end)
    segment.log.warm(end, ROOM_BYTES)
    if segment.log._warm_end == made_before:
        return 0
    return max(end - segment.log._warm_end, 0)


cdef Run walk_run(
    const uint8_t* data, int64_t position, int64_t size, RunLimits limits
) noexcept nogil:
    cdef BatchHeader header
    cdef Run run
    cdef int64_t last_offset, waited, start = position
    cdef int32_t epoch = 0
    run.end = position
    run.next_offset = -1
    run.entry_count = run.batch_count = 0
    run.has_producers = run.is_damaged = False
    # Invariant: the batches from `start` to `run.end` are intact, follow each other, have one
    # epoch, and belong into the segment.
    while run.end < size:
        if read_batch_header(data + run.end, size - run.end, &header) != BATCH_OK:
            run.is_damaged = True
            break
        last_offset = header.base_offset + header.last_offset_delta
        if header.base_offset < run.next_offset or header.last_offset_delta < 0:
            run.is_damaged = True
            break
        if run.batch_count == 0:
            epoch = header.leader_epoch
        elif header.leader_epoch != epoch:
            break
        if limits.first_timestamp < 0:
            limits.first_timestamp = header.max_timestamp
        if run.batch_count:
            if limits.first_timestamp >= 0 and header.max_timestamp >= 0:
                waited = header.max_timestamp - limits.first_timestamp
            else:
                waited = limits.idle_ms
            if (run.end + header.size_bytes - start > limits.room_bytes
                    or last_offset > limits.last_offset
                    or run.entry_count >= limits.entry_room
                    or waited > limits.roll_ms):
                break
        if not batch_crc_matches(data + run.end, &header):
            run.is_damaged = True
            break
        if limits.bytes_since_entry > limits.interval_bytes:
            run.entry_count += 1
            limits.bytes_since_entry = 0
        limits.bytes_since_entry += header.size_bytes
        run.has_producers = run.has_producers or header.producer_id >= 0
        run.next_offset = last_offset + 1
        run.end += header.size_bytes
        run.batch_count += 1
    return run


cdef RunLimits limits_of(LogSegment segment, int64_t now_ms) except *:
    cdef RunLimits limits
    cdef OffsetIndex offsets = segment.offsets()
    cdef TimeIndex times = segment.times()
    limits.room_bytes = segment.segment_bytes - segment.log.size_bytes
    limits.last_offset = segment.base_offset + INT32_MAX
    limits.entry_room = min(
        offsets.max_slots - offsets.slot_count, times.max_slots - 1 - times.slot_count)
    limits.interval_bytes = segment.index_interval_bytes
    limits.bytes_since_entry = segment.bytes_since_entry
    limits.first_timestamp = segment._first_timestamp if segment.log.size_bytes else -1
    limits.idle_ms = now_ms - segment.created_ms
    limits.roll_ms = segment.roll_ms
    return limits


cdef int reserve_run(LogSegment segment, Run run, int64_t position) except -1:
    """Whatever may fail comes first: disk for the batches and for the entries they need."""
    cdef int64_t end = segment.log.size_bytes + run.end - position
    cdef OffsetIndex offsets = segment.offsets()
    cdef TimeIndex times = segment.times()
    if end > segment.log.max_bytes:
        segment.log.make_writable(end)
    segment.log.reserve(end)
    if run.entry_count:
        offsets.file.reserve((offsets.slot_count + run.entry_count) * OFFSET_ENTRY_BYTES)
        times.file.reserve((times.slot_count + run.entry_count) * TIME_ENTRY_BYTES)
    return 0


cdef int index_run(
    LogSegment segment, const uint8_t* data, int64_t position, int64_t end
) except -1:
    cdef BatchHeader header
    cdef int64_t start = segment.log.size_bytes - (end - position)
    cdef int64_t place = position
    while place < end:
        read_batch_header(data + place, end - place, &header)
        segment.index_batch(&header, header.base_offset, start + place - position)
        segment.next_offset = header.base_offset + header.last_offset_delta + 1
        place += header.size_bytes
    return 0


cdef int note_producers(
    records, const uint8_t* data, int64_t position, int64_t end, list of_producers
) except -1:
    """Append (position, info) of every batch that an idempotent producer sent."""
    cdef BatchHeader header
    cdef AppendInfo info
    while position < end:
        read_batch_header(data + position, end - position, &header)
        if header.producer_id >= 0:
            info = AppendInfo(records, position)
            info.assign(header.base_offset, header.leader_epoch)
            of_producers.append((position, info))
        position += header.size_bytes
    return 0
