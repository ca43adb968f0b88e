"""`LogState`: what each append to a log looks at and moves, as C fields; `Log` builds on it.

Python sees plain attributes.  An append that needs nothing but these takes the short way below; it
ends as `Log.append_as_leader` would for a trusted batch without a producer.
"""

from libc.stdint cimport int64_t, uint8_t

from .log_segment cimport LogSegment
from .record_batch cimport BatchHeader


cdef class LogState:
    """See the contract.  Whoever owns the log calls everything."""

    cdef int64_t append_direct(
        self, const uint8_t* batch, const BatchHeader* header, int64_t leader_epoch, int64_t now_ms
    ) except -1:
        cdef int64_t base_offset = self.log_end_offset
        cdef LogSegment segment = self.active_segment
        if self._refusal is not None or leader_epoch > <int64_t>self._epochs.latest_epoch:
            return -2
        try:
            if segment.is_full_for(header, base_offset + header.last_offset_delta, now_ms):
                return -2
            segment.append_one(batch, header, base_offset, <int>leader_epoch)
        except OSError as error:
            raise self._failed(error) from error
        self.log_end_offset = segment.next_offset
        return base_offset
