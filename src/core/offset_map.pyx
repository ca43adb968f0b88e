"""Where the last record of each key stands: the table behind compaction.

    SLOT    SIZE  FIELD      24 bytes, open addressing with linear probing
       0      16  key hash   SipHash-2-4 with 128 bits, under a secret of this run
      16       8  offset     of the key's last record; -1 where the slot is free

The keys themselves are not kept.  At 128 bits, and with a secret that no producer knows, two keys
that share a hash are not to be expected (Kafka trusts MD5 in the same way, without a secret).
Source of the hash: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF".
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from .record cimport RecordFields, read_record
from .record_batch cimport RecordBatch

from typing import NamedTuple

from .errors import CorruptRecordError

SLOT_BYTES = 24

cdef enum:
    MIN_SLOTS = 64
    SECRET_BYTES = 16


cdef inline uint64_t rotate_left(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline void sip_round(uint64_t* v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = rotate_left(v[1], 13) ^ v[0]
    v[3] = rotate_left(v[3], 16) ^ v[2]
    v[0] = rotate_left(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = rotate_left(v[1], 17) ^ v[2]
    v[3] = rotate_left(v[3], 21) ^ v[0]
    v[2] = rotate_left(v[2], 32)


cdef void hash_key(
    const uint8_t* key, int64_t size, uint64_t secret_low, uint64_t secret_high, uint64_t* hashed
) noexcept nogil:
    """SipHash-2-4 with 128 bits of `size` bytes at `key`, into hashed[0] (low) and hashed[1]."""
    cdef uint64_t v[4]
    cdef uint64_t word
    cdef int64_t position = 0
    cdef int i
    v[0] = <uint64_t>0x736F6D6570736575 ^ secret_low
    v[1] = <uint64_t>0x646F72616E646F6D ^ secret_high ^ 0xEE
    v[2] = <uint64_t>0x6C7967656E657261 ^ secret_low
    v[3] = <uint64_t>0x7465646279746573 ^ secret_high
    # Before each step: the 8-byte words below `position` have been mixed in.
    while size - position >= 8:
        memcpy(&word, key + position, 8)
        v[3] ^= word
        sip_round(v)
        sip_round(v)
        v[0] ^= word
        position += 8
    word = <uint64_t>size << 56
    for i in range(<int>(size - position)):
        word |= <uint64_t>key[position + i] << (8 * i)
    v[3] ^= word
    sip_round(v)
    sip_round(v)
    v[0] ^= word
    v[2] ^= 0xEE
    for _ in range(4):
        sip_round(v)
    hashed[0] = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    for _ in range(4):
        sip_round(v)
    hashed[1] = v[0] ^ v[1] ^ v[2] ^ v[3]


def siphash128(data, bytes secret not None):
    """The 16 bytes that `hash_key` makes of `data`; for tests against published vectors."""
    cdef uint64_t hashed[2]
    cdef uint64_t words[2]
    cdef bytes plain = bytes(data)
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes, not {len(secret)}")
    memcpy(words, <const uint8_t*>secret, SECRET_BYTES)
    hash_key(<const uint8_t*>plain, len(plain), words[0], words[1], hashed)
    return (<const char*>hashed)[:16]


@cython.final
cdef class OffsetMap:
    """Key -> offset of its last record, within a fixed memory.

    Takes `max_entries` keys, or as many as fit `memory_bytes` where that is fewer; an entry that
    does not fit is an assertion, so ask `has_room_for` first.  `secret` has 16 random bytes.
    """

    def __cinit__(self, *, int64_t max_entries, int64_t memory_bytes, bytes secret not None):
        cdef int64_t wanted = max_entries + max_entries // 3 + 1
        cdef int64_t affordable = memory_bytes // SLOT_BYTES
        cdef uint64_t words[2]
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a secret has {SECRET_BYTES} bytes, not {len(secret)}")
        self._slot_count = MIN_SLOTS
        while self._slot_count < wanted and 2 * self._slot_count <= affordable:
            self._slot_count *= 2
        self._slots = <MapSlot*>malloc(self._slot_count * sizeof(MapSlot))
        if self._slots == NULL:
            raise MemoryError(f"{self._slot_count * SLOT_BYTES} bytes for compaction")
        memset(self._slots, 0xFF, self._slot_count * sizeof(MapSlot))
        memcpy(words, <const uint8_t*>secret, SECRET_BYTES)
        self._secret_low = words[0]
        self._secret_high = words[1]
        self.capacity = self._slot_count * 3 // 4
        self.latest_offset = -1

    def __dealloc__(self):
        free(self._slots)

    cdef MapSlot* _find_slot(self, const uint8_t* key, int64_t size) noexcept nogil:
        # The slot of `key`, or the free one where it would stand: hash fields set, offset -1.
        cdef uint64_t hashed[2]
        cdef uint64_t mask = <uint64_t>self._slot_count - 1
        cdef uint64_t slot
        cdef MapSlot* found
        hash_key(key, size, self._secret_low, self._secret_high, hashed)
        slot = hashed[0] & mask
        # Ends because a quarter of the slots stays free.
        while True:
            found = &self._slots[slot]
            if found.offset < 0:
                found.hash_low = hashed[0]
                found.hash_high = hashed[1]
                return found
            if found.hash_low == hashed[0] and found.hash_high == hashed[1]:
                return found
            slot = (slot + 1) & mask

    cdef void _put_key(self, const uint8_t* key, int64_t size, int64_t offset) noexcept nogil:
        cdef MapSlot* slot = self._find_slot(key, size)
        if slot.offset < 0:
            self.entry_count += 1
        slot.offset = offset

    def put_offset(self, bytes key not None, int64_t offset):
        """Say that the last record of `key` stands at `offset`."""
        assert self.entry_count < self.capacity, (self.entry_count, self.capacity)
        assert offset >= 0, offset
        self._put_key(<const uint8_t*>key, len(key), offset)

    def get_offset(self, bytes key not None):
        """The offset of the last record of `key`; -1 for a key never seen."""
        return self._find_slot(<const uint8_t*>key, len(key)).offset

    def has_room_for(self, int64_t record_count):
        """Whether that many new keys still fit."""
        return self.entry_count + record_count <= self.capacity

    def put_batch(self, RecordBatch batch not None, int64_t start_offset):
        """Take in every keyed record of `batch` from `start_offset` on.

        Raises CorruptRecordError where its bytes are no records.
        """
        cdef Py_buffer buffer
        cdef RecordFields fields
        cdef const uint8_t* p
        cdef const uint8_t* end
        cdef int64_t offset
        cdef int32_t index = 0
        assert self.has_room_for(batch.header.record_count), self.entry_count
        PyObject_GetBuffer(batch.uncompressed_payload(), &buffer, PyBUF_SIMPLE)
        try:
            p = <const uint8_t*>buffer.buf
            end = p + buffer.len
            with nogil:
                while index < batch.header.record_count:
                    p = read_record(p, end, &fields)
                    if p == NULL:
                        break
                    index += 1
                    offset = batch.header.base_offset + fields.offset_delta
                    if fields.key_size >= 0 and offset >= start_offset:
                        self._put_key(fields.key, fields.key_size, offset)
            if p == NULL:
                raise CorruptRecordError(f"record {index} of {batch!r} is malformed")
        finally:
            PyBuffer_Release(&buffer)


class BatchVerdict(NamedTuple):
    """Which records of a batch compaction keeps."""

    # One byte a record, in order: 1 keeps it.
    retained: bytes
    retained_count: int
    # Whether one of those kept has a null value.
    has_tombstones: bool


def judge_batch(OffsetMap offset_map not None, RecordBatch batch not None, bint keeps_tombstones):
    """Which records stay: those behind the map's latest offset, and the last one of each key,
    unless that is a tombstone and `keeps_tombstones` is false.  A record without a key goes.

    Raises CorruptRecordError where the batch's bytes are no records.
    """
    cdef Py_buffer buffer
    cdef RecordFields fields
    cdef const uint8_t* p
    cdef const uint8_t* end
    cdef int32_t index = 0
    cdef int64_t retained_count = 0
    cdef bint has_tombstones = False
    cdef uint8_t* verdicts
    PyObject_GetBuffer(batch.uncompressed_payload(), &buffer, PyBUF_SIMPLE)
    try:
        p = <const uint8_t*>buffer.buf
        end = p + buffer.len
        # Each record takes more than one byte, which bounds the count that a header may claim.
        if batch.header.record_count < 0 or batch.header.record_count > buffer.len:
            raise CorruptRecordError(f"{batch!r} has too few bytes for its records")
        retained = bytearray(batch.header.record_count)
        verdicts = <uint8_t*>PyByteArray_AS_STRING(retained)
        with nogil:
            for index in range(batch.header.record_count):
                p = read_record(p, end, &fields)
                if p == NULL:
                    break
                if is_retained(
                    offset_map, &fields, batch.header.base_offset + fields.offset_delta,
                    keeps_tombstones,
                ):
                    verdicts[index] = 1
                    retained_count += 1
                    has_tombstones = has_tombstones or fields.value_size < 0
        if p == NULL:
            raise CorruptRecordError(f"record {index} of {batch!r} is malformed")
    finally:
        PyBuffer_Release(&buffer)
    return BatchVerdict(bytes(retained), retained_count, has_tombstones)


cdef bint is_retained(
    OffsetMap offset_map, const RecordFields* fields, int64_t offset, bint keeps_tombstones
) noexcept nogil:
    if offset > offset_map.latest_offset:
        return True
    if fields.key_size < 0:
        return False
    if offset < offset_map._find_slot(fields.key, fields.key_size).offset:
        return False
    return keeps_tombstones or fields.value_size >= 0
