"""`AppendBell`: tells other processes that something was appended below a folder, without polling.

    OFFSET  SIZE  FIELD        of the file `.headrace_bell`, in the machine's order
         0     4  ring_count   grows by one with each append, wraps around
         4     4  sleepers     how many may wait; more after one was killed, which costs a call

The writer rings after its store; who waits sleeps in the kernel (futex) until the count is another
than the one it saw before it looked, so no append is missed.  Linux.
"""

import logging
import os

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t
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
    void hr_wake_all(uint32_t* p) noexcept nogil
    int hr_sleep(uint32_t* p, uint32_t seen, int64_t timeout_ns) noexcept nogil

BELL_NAME = ".headrace_bell"

_log = logging.getLogger(__name__)

cdef enum:
    FILE_BYTES = 4096
    RING_COUNT = 0
    SLEEPERS = 1


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

    def ring(self):
        """Wake whoever waits; a few nanoseconds where nobody does."""
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

    def ring_of(self, log_path):
        """What to call after an append to the log in the folder `log_path` (a Path).

        A bell that cannot be made costs attached readers their waking, and is logged; None then.
        """
        folder = log_path.parent
        if folder not in self._bells:
            try:
                self._bells[folder] = AppendBell(str(folder / BELL_NAME))
            except OSError as error:
                _log.warning("%s: processes that follow it are not woken: %s", folder, error)
                self._bells[folder] = None
        bell = self._bells[folder]
        return None if bell is None else bell.ring
