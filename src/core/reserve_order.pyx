"""`ReserveOrder`: the next step of a busy file, reserved on the worker."""

import threading

from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t

cdef extern from "<fcntl.h>" nogil:
    int fallocate(int fd, int mode, int64_t offset, int64_t length)

cdef extern from "<unistd.h>" nogil:
    int ftruncate(int fd, int64_t length)
    int close(int fd)


cdef class ReserveOrder:
    """Disk that the worker shall reserve: `run` is for the worker, `settle` for the file's writer.

    The lock keeps the two apart: between them the file is as long as when the order was given, and
    after `settle` nobody extends it any more.
    """

    def __init__(self, int descriptor, int64_t start, int64_t end):
        self.end = end
        self._start = start
        self._descriptor = descriptor
        self._failure = -1
        self._lock = threading.Lock()

    def __dealloc__(self):
        self._close_descriptor()

    def run(self) -> None:
        """Reserve, unless the writer has taken the order back."""
        cdef int failure = EINTR
        with self._lock:
            if self._descriptor < 0:
                return
            with nogil:
                # Not posix_fallocate: where a disk cannot, that writes zeros, also over records.
                while failure == EINTR:
                    failure = errno if fallocate(
                        self._descriptor, 0, self._start, self.end - self._start) != 0 else 0
                if failure != 0:
                    ftruncate(self._descriptor, self._start)
            self._failure = failure
            self._close_descriptor()

    def settle(self) -> int:
        """Wait for the worker, or take the order back: 0, or the errno of why not, or -1."""
        with self._lock:
            self._close_descriptor()
            return self._failure

    cdef int _close_descriptor(self) noexcept:
        if self._descriptor >= 0:
            close(self._descriptor)
            self._descriptor = -1
        return 0
