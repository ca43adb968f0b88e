"""`AppendBell`: tells other processes that something was appended below a folder, without polling.

    OFFSET  SIZE  FIELD        of the file `.headrace_bell`, in the machine's order
         0     4  ring_count   grows by one with each append, wraps around
         4     4  sleepers     how many may wait; more after one was killed, which costs a call
     8     4  taken_back   grows by one after an append of several batches was cut off again
    16     8  open_log     whose append of several batches is under way (`log_id`); 0: nobody's
    24     8  open_offset  the first offset of that append

The writer rings after its store; who waits sleeps in the kernel (futex) until the count is another
than the one it saw before it looked, so no append is missed.  Linux.

One batch is there as a whole or not at all, but an append of several may be taken back when the
last is refused.  So it is announced before its first batch is stored.  Who reads the files notes
`taken_back`, reads, and then gives out nothing from `open_offset` on; where `taken_back` has grown
meanwhile, it reads anew.  A writer that was killed leaves its announcement to the next one, whose
recovery settles what stays.
"""

import logging
import os

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

cdef extern from *:
    """
    #include <errno.h>
    #include <limits.h>
    #include <linux/futex.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    static inline void hr_add(uint32_t* p, uint32_t n) {
        __atomic_fetch_add(p, n, __ATOMIC_SEQ_CST);
    }
    static inline uint32_t hr_load(const uint32_t* p) {
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);
    }
    static inline int64_t hr_load_wide(const int64_t* p) {
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);
    }
    static inline void hr_store_wide(int64_t* p, int64_t value) {
        __atomic_store_n(p, value, __ATOMIC_SEQ_CST);
    }
    static inline void hr_wake_all(uint32_t* p) {
        syscall(SYS_futex, p, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
    /* 0, or the errno of why it did not sleep to the end: EAGAIN, EINTR, ETIMEDOUT. */
    static inline int hr_sleep(uint32_t* p, uint32_t seen, int64_t timeout_ns) {
        struct timespec limit = {timeout_ns / 1000000000, timeout_ns % 1000000000};
        struct timespec* end = timeout_ns < 0 ? NULL : &limit;
        return syscall(SYS_futex, p, FUTEX_WAIT, seen, end, NULL, 0) ? errno : 0;
    }
    """
    void hr_add(uint32_t* p, uint32_t n) noexcept nogil
    uint32_t hr_load(const uint32_t* p) noexcept nogil
    int64_t hr_load_wide(const int64_t* p) noexcept nogil
    void hr_store_wide(int64_t* p, int64_t value) noexcept nogil
    void hr_wake_all(uint32_t* p) noexcept nogil
    int hr_sleep(uint32_t* p, uint32_t seen, int64_t timeout_ns) noexcept nogil

BELL_NAME = ".headrace_bell"

_log = logging.getLogger(__name__)

cdef enum:
    FILE_BYTES = 4096
    RING_COUNT = 0
    SLEEPERS = 1
    TAKEN_BACK = 2
    # Counted in 8 bytes.
    OPEN_LOG = 2
    OPEN_OFFSET = 3


def log_id(str folder_name not None) -> int:
    """What a partition's folder is called in the bell: 64 bits, never 0 (FNV-1a)."""
    cdef bytes name = folder_name.encode()
    cdef uint64_t hashed = <uint64_t>0xCBF29CE484222325
    cdef uint8_t byte
    for byte in name:
        hashed = (hashed ^ byte) * <uint64_t>0x100000001B3
    return <int64_t>hashed if hashed else 1


cdef class AppendBell:
    """The bell in the file `path`, which is made if it is not there; any thread may use it.

    Raises OSError where the file cannot be opened for writing: who only reads the folder needs it
    too, to say that it sleeps.
    """

    def __cinit__(self, str path):
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            # Reserved, so that a full disk is an error here and not a fault at the first ring.
            os.posix_fallocate(descriptor, 0, FILE_BYTES)
            self._words = <uint32_t*>mmap(
                NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        finally:
            os.close(descriptor)
        if <void*>self._words == MAP_FAILED:
            self._words = NULL
            raise OSError(f"{path} cannot be mapped")

    def __dealloc__(self):
        if self._words != NULL:
            munmap(self._words, FILE_BYTES)

    @property
    def ring_count(self):
        """What to hand to `wait`; to be read before looking whether there is something new."""
        return hr_load(&self._words[RING_COUNT])

    @property
    def taken_back(self):
        """To be read before the files are, and again behind `open_offset`."""
        return hr_load(&self._words[TAKEN_BACK])

    def open_offset(self, int64_t log_id):
        """From where on records of this log may be taken back; None where all are there to stay."""
        cdef int64_t* wide = <int64_t*>self._words
        cdef int64_t offset
        # Read between two looks at its owner, since another log's append may have begun.
        while hr_load_wide(&wide[OPEN_LOG]) == log_id:
            offset = hr_load_wide(&wide[OPEN_OFFSET])
            if hr_load_wide(&wide[OPEN_LOG]) == log_id:
                return offset
        return None

    def begin_append(self, int64_t log_id, int64_t first_offset):
        """Announce an append of several batches; for the folder's one writer, one at a time."""
        cdef int64_t* wide = <int64_t*>self._words
        hr_store_wide(&wide[OPEN_OFFSET], first_offset)
        hr_store_wide(&wide[OPEN_LOG], log_id)

    def end_append(self, *, bint is_taken_back=False):
        """What was announced stays, or is gone from the files by now."""
        cdef int64_t* wide = <int64_t*>self._words
        if is_taken_back:
            hr_add(&self._words[TAKEN_BACK], 1)
        hr_store_wide(&wide[OPEN_LOG], 0)

    def ring(self):
        """Wake whoever waits; a few nanoseconds where nobody does."""
        self.strike()

    cdef void strike(self) noexcept:
        hr_add(&self._words[RING_COUNT], 1)
        if hr_load(&self._words[SLEEPERS]):
            hr_wake_all(&self._words[RING_COUNT])

    def wait(self, uint32_t seen, timeout_s=None):
        """Sleep until it rings after `seen` was read; at once if it has.  False after `timeout_s`.

        May return True without a ring.  A signal's handler runs, and may raise, meanwhile.
        """
        cdef int64_t timeout_ns = -1 if timeout_s is None else max(0, int(timeout_s * 1e9))
        cdef int failed = 0
        hr_add(&self._words[SLEEPERS], 1)
        with nogil:
            failed = hr_sleep(&self._words[RING_COUNT], seen, timeout_ns)
        hr_add(&self._words[SLEEPERS], <uint32_t>-1)
        PyErr_CheckSignals()
        return failed == 0 or hr_load(&self._words[RING_COUNT]) != seen or timeout_s is None


class AppendBells:
    """The bells of a node's log folders, each made when its first log asks for it."""

    def __init__(self):
        self._bells = {}

    def bell_of(self, log_path):
        """The bell for the log in the folder `log_path` (a Path); for the folder's writer.

        None where it cannot be made, which costs attached readers their waking, and is logged.
        """
        folder = log_path.parent
        if folder not in self._bells:
            try:
                bell = self._bells[folder] = AppendBell(str(folder / BELL_NAME))
                bell.end_append()  # of a writer that was killed: the logs are recovered
            except OSError as error:
                _log.warning("%s: processes that follow it are not woken: %s", folder, error)
                self._bells[folder] = None
        return self._bells[folder]

    def ring_of(self, log_path):
        """What to call after an append to the log in the folder `log_path`; None without a bell."""
        bell = self.bell_of(log_path)
        return None if bell is None else bell.ring
