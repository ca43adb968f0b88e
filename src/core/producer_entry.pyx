"""What a log remembers of one idempotent producer: its epoch and its last batches.

A batch is a duplicate where epoch, first and last sequence are those of one of the last five; it is
answered with the first copy's offsets.  Otherwise its first sequence must follow the last one
(after 2147483647 comes 0), a new epoch must begin at 0, and an older epoch is refused.  A producer
nobody remembers may begin anywhere: its state may have gone with old records.
"""

from libc.stdint cimport INT32_MAX, int16_t, int32_t, int64_t

from .append_info cimport AppendInfo, sequence_after, sequence_before

from .errors import InvalidProducerEpochError, OutOfOrderSequenceError


cdef class ProducerEntry:
    """The state of one producer id in one log."""

    def __init__(self, int64_t producer_id):
        self.producer_id = producer_id
        self.producer_epoch = -1
        self.coordinator_epoch = -1
        self.last_timestamp = -1
        self.current_txn_start_offset = -1

    @property
    def first_sequence(self):
        """The first sequence remembered; -1 when none is."""
        if self.batch_count == 0:
            return -1
        return sequence_before(self.batches[0].last_sequence, self.batches[0].offset_delta)

    @property
    def last_sequence(self):
        """The last sequence written; -1 when none is."""
        return self.batches[self.batch_count - 1].last_sequence if self.batch_count else -1

    @property
    def last_offset(self):
        """The offset of the last record written with a sequence; -1 when none is."""
        return self.batches[self.batch_count - 1].last_offset if self.batch_count else -1

    @property
    def last_offset_delta(self):
        """last_offset less the base offset of its batch; 0 when none is remembered."""
        return self.batches[self.batch_count - 1].offset_delta if self.batch_count else 0

    cpdef bint find_duplicate(self, AppendInfo info) noexcept:
        cdef int32_t slot, last_sequence
        if info.header.producer_epoch != self.producer_epoch or info.header.base_sequence < 0:
            return False
        last_sequence = sequence_after(info.header.base_sequence, info.header.last_offset_delta)
        for slot in range(self.batch_count):
            if (self.batches[slot].last_sequence == last_sequence
                    and self.batches[slot].offset_delta == info.header.last_offset_delta):
                info.point_at_original(
                    self.batches[slot].last_offset - self.batches[slot].offset_delta,
                    self.batches[slot].last_offset)
                return True
        return False

    cpdef int check_sequence(self, AppendInfo info) except -1:
        """Raise a SequenceError unless the batch is the producer's next one."""
        cdef int32_t last_sequence, base_sequence = info.header.base_sequence
        self.check_epoch(info.header.producer_epoch)
        if self.producer_epoch < 0:
            return 0
        if info.header.producer_epoch != self.producer_epoch:
            if base_sequence != 0:
                raise OutOfOrderSequenceError(
                    f"producer {self.producer_id} begins epoch {info.header.producer_epoch} with "
                    f"sequence {base_sequence}, not 0")
            return 0
        last_sequence = self.batches[self.batch_count - 1].last_sequence if self.batch_count else -1
        if base_sequence == last_sequence + <int64_t>1:
            return 0
        if base_sequence == 0 and last_sequence == INT32_MAX:
            return 0
        raise OutOfOrderSequenceError(
            f"producer {self.producer_id} sent sequence {base_sequence} after {last_sequence} in "
            f"epoch {self.producer_epoch}")

    def check_epoch(self, int16_t producer_epoch) -> None:
        """Raise InvalidProducerEpochError where `producer_epoch` is older than the one seen."""
        if producer_epoch < self.producer_epoch:
            raise InvalidProducerEpochError(
                f"producer {self.producer_id} writes with epoch {producer_epoch}; the log has "
                f"seen {self.producer_epoch}")

    cpdef int note_batch(self, AppendInfo info) except -1:
        """Remember a batch that was written."""
        cdef int32_t slot
        if info.header.producer_epoch != self.producer_epoch:
            self.producer_epoch = info.header.producer_epoch
            self.batch_count = 0
        if self.batch_count == REMEMBERED_BATCHES:
            for slot in range(REMEMBERED_BATCHES - 1):
                self.batches[slot] = self.batches[slot + 1]
            self.batch_count -= 1
        slot = self.batch_count
        self.batches[slot].last_sequence = sequence_after(
            info.header.base_sequence, info.header.last_offset_delta)
        self.batches[slot].last_offset = info.last_offset
        self.batches[slot].offset_delta = info.header.last_offset_delta
        self.batches[slot].timestamp = info.header.max_timestamp
        self.batch_count += 1
        self.last_timestamp = info.header.max_timestamp
        return 0

    cpdef int note_marker(
        self, int16_t producer_epoch, int32_t coordinator_epoch, int64_t timestamp
    ) except -1:
        """Remember a marker: it ends the transaction and may carry a newer epoch."""
        if producer_epoch != self.producer_epoch:
            self.producer_epoch = producer_epoch
            self.batch_count = 0
        self.coordinator_epoch = coordinator_epoch
        self.current_txn_start_offset = -1
        self.last_timestamp = timestamp
        return 0

    def copy(self) -> ProducerEntry:
        """Another one of the same state, which goes its own way."""
        cdef ProducerEntry twin = ProducerEntry.__new__(ProducerEntry)
        twin.producer_id = self.producer_id
        twin.producer_epoch = self.producer_epoch
        twin.coordinator_epoch = self.coordinator_epoch
        twin.last_timestamp = self.last_timestamp
        twin.current_txn_start_offset = self.current_txn_start_offset
        twin.batch_count = self.batch_count
        twin.batches = self.batches
        return twin

    def restore(
        self, int16_t producer_epoch, int32_t last_sequence, int64_t last_offset,
        int32_t offset_delta, int64_t timestamp, int32_t coordinator_epoch,
        int64_t current_txn_start_offset,
    ) -> None:
        """Take the state over from a snapshot, which holds the last batch only."""
        self.producer_epoch = producer_epoch
        self.coordinator_epoch = coordinator_epoch
        self.last_timestamp = timestamp
        self.current_txn_start_offset = current_txn_start_offset
        self.batch_count = 0
        if last_offset >= 0 and last_sequence >= 0:
            self.batches[0] = BatchTrace(last_sequence, last_offset, offset_delta, timestamp)
            self.batch_count = 1
