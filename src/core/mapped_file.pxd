"""A file in memory that grows at its end: reserved ahead, written, lent as views, synced."""

from libc.stdint cimport int64_t, uint8_t

from .reserve_order cimport ReserveOrder

cdef enum:
    MMAP_STORE_LIMIT = 16384         # from this size on an append goes through pwrite
    ROOM_BYTES = 262144              # so many bytes of pages, at most, one call of warm() brings


cdef class Mapping:
    cdef uint8_t* start              # first byte; None of it may be touched past the file's end
    cdef int64_t length              # bytes of address space
    cdef Py_ssize_t _views           # how many read it; given back on any thread


cdef class MappedFile:
    cdef readonly str path
    cdef readonly int64_t size_bytes      # bytes written: where the next append goes
    cdef readonly int64_t reserved_bytes  # length of the file on disk: all of it may be touched
    cdef readonly int64_t max_bytes       # the file never grows past it
    cdef readonly bint is_writable
    cdef readonly bint is_closed
    cdef readonly bint is_idle            # of a closed segment: its mapping may go for another's
    cdef Mapping _mapping                 # None until a byte is needed
    cdef list _old_mappings               # replaced, but still read through views
    cdef int _descriptor                  # -1 when the pool has closed it
    cdef bint _is_lent                    # a system call runs on _descriptor: it stays open
    cdef int64_t _lent_end                # views may reach up to here
    cdef int64_t _order_mark              # an append beyond it looks after the reservation
    cdef int64_t _warm_end                # pages below it were written, with zeros at least
    cdef int64_t _random_from             # the mapping reads nothing ahead from here on; -1: all
    cdef ReserveOrder _order              # what the worker reserves at the moment
    cdef object _submit                   # gives a job to the worker; None without one
    cdef object _reference                # a weak one to itself, for the pools
    cdef object __weakref__

    # The first byte of the mapping, made on first use; valid until truncate, trim or close.
    cdef uint8_t* data(self) except NULL
    # Makes bytes up to `end` safe to touch; raises OSError (ENOSPC) and changes nothing if not.
    cdef int reserve(self, int64_t end) except -1
    # Brings pages for a store up to `end` into the page cache, a step; for bytes within reserve().
    cdef int warm(self, int64_t end, int64_t step_bytes=*) except -1
    # Lets the disk begin to bring what will be read of data(), if it has left the page cache.
    cdef int will_read(self, int64_t start, int64_t end) except -1
    # Writes `head` and then `body` at size_bytes, which moves only when all is written.
    cdef int append_pieces(
        self, const uint8_t* head, int64_t head_bytes, const uint8_t* body, int64_t body_bytes
    ) except -1
    # Takes note of bytes stored directly behind data() + size_bytes, within reserve().
    cdef int grow_by(self, int64_t count) except -1
    # Maps anew on next use, with max_bytes as it is then; views keep the old mapping.
    cdef int drop_mapping(self) except -1
    # Says that the file grows no more: of such files only MAX_IDLE_MAPPINGS stay mapped.
    cdef int make_idle(self) except -1
    # Lets a file that was opened for reading grow again, up to max_bytes.
    cdef int make_writable(self, int64_t max_bytes) except -1
    cdef object view_of(self, int64_t start, int64_t end)
    # The descriptor, lent: the caller takes `_is_lent` back when its system call is over.
    cdef int take_descriptor(self) except -1
    cdef int _reopen(self) except -1
    # Closes it, where the pool may be about to do the same.
    cdef int give_up_descriptor(self) except -1
    cdef int _close_descriptor(self) except -1
    cdef int _tell_tail(self) noexcept
    cdef int64_t _next_step(self) noexcept
    cdef int _reserve_now(self, int64_t end) except -1
    cdef int _reserve_ahead(self, int64_t end) except -1
    cdef int _settle_order(self) except -1
    cdef int _allocate(self, int64_t end) except -1
    cdef int _write_pieces(
        self, int64_t position, const uint8_t* head, int64_t head_bytes, const uint8_t* body,
        int64_t body_bytes
    ) except -1
