"""A file in memory that grows at its end: reserved ahead, written, lent as views, synced.

    0 ............ size_bytes ............ reserved_bytes ............ max_bytes
    |   written       |  zeros, reserved      |  address space only       |
    |                 |  (posix_fallocate)    |  touching it is SIGBUS    |

The address space for `max_bytes` is taken once, so a pointer or a view stays valid while the file
grows below it.  Disk is reserved in steps ahead of the writes: a full disk is an OSError there and
never a SIGBUS at a store.  The large steps of a busy file are taken on the worker, ordered when
half of the last one is left; the writer takes a step itself where the worker comes late, and where
a step is small.  An append of MMAP_STORE_LIMIT or more goes through pwrite, which is cheaper than
faulting fresh pages in one by one; both end in the same page cache.  Smaller ones are stored into
pages that a pwrite of zeros has made, WARM_BYTES at a time, for the same reason.  In the tail of a
busy file the kernel reads nothing ahead: that would be zeros, in pages that are written next.

A view keeps its Mapping alive, and the mapping is unmapped with the last reference to it: closing,
renaming or unlinking a file takes nothing away from a reader.  A file is only cut back where no
view can reach; a truncation under live views writes zeros instead.

Descriptors are not kept: a pool holds the MAX_OPEN_DESCRIPTORS used last, and a file's descriptor
is opened again when it is needed, but never made again: a file that somebody removed would read as
zeros, and one that somebody cut would fault.  Files of closed segments share MAX_IDLE_MAPPINGS
mappings in the same way, because a process may have 65,530 by default.  After a fork the child
refuses to write.

A file has one owner at a time; only the pools and the views are used by several owners' threads.
The pools leave alone a descriptor that is lent.  A mapping is dropped for another owner's sake only
between its owner's calls, which the GIL keeps apart; without one, none is dropped.
"""

import os
import threading
import weakref

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EINTR, EIO, EOPNOTSUPP, ESTALE, errno
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset

from .reserve_order cimport ReserveOrder

from .errors import LogClosedError

cdef extern from "<sys/mman.h>" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        MAP_SHARED
        MAP_NORESERVE
        MADV_RANDOM
        MADV_WILLNEED
    void* MAP_FAILED
    void* mmap(void* address, size_t length, int protection, int flags, int fd, int64_t offset)
    int munmap(void* address, size_t length)
    int madvise(void* address, size_t length, int advice)
    int mincore(void* address, size_t length, unsigned char* residency)

cdef extern from "<fcntl.h>" nogil:
    int posix_fallocate(int fd, int64_t offset, int64_t length)

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    Py_ssize_t pwritev(int fd, const iovec* pieces, int count, int64_t offset)

cdef extern from "<unistd.h>" nogil:
    int ftruncate(int fd, int64_t length)
    int fdatasync(int fd)
    int close(int fd)

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define HR_HAS_GIL 0
    static inline void hr_count(Py_ssize_t* count, Py_ssize_t n) {
        __atomic_fetch_add(count, n, __ATOMIC_SEQ_CST);
    }
    static inline Py_ssize_t hr_counted(const Py_ssize_t* count) {
        return __atomic_load_n(count, __ATOMIC_SEQ_CST);
    }
    #else
    #define HR_HAS_GIL 1
    static inline void hr_count(Py_ssize_t* count, Py_ssize_t n) { *count += n; }
    static inline Py_ssize_t hr_counted(const Py_ssize_t* count) { return *count; }
    #endif
    """
    const bint HR_HAS_GIL
    void hr_count(Py_ssize_t* count, Py_ssize_t n) noexcept nogil
    Py_ssize_t hr_counted(const Py_ssize_t* count) noexcept nogil

MAX_OPEN_DESCRIPTORS = 128
MAX_IDLE_MAPPINGS = 16_384

cdef enum:
    FIRST_RESERVE_BYTES = 4096
    MAX_RESERVE_STEP_BYTES = 16777216
    # A smaller step costs less than it costs to wake the worker.
    MIN_ORDERED_BYTES = 1048576
    WARM_BYTES = 65536
    # What was written last is in the page cache.
    SURELY_CACHED_BYTES = 1048576

cdef uint8_t[ROOM_BYTES] _zeros
cdef int64_t _page_bytes = os.sysconf("SC_PAGESIZE")

# id of a MappedFile -> weak reference, in the order of their last use.
cdef dict _open_files = {}
# The same of idle files that are mapped, in the order in which they were mapped.
cdef dict _idle_mappings = {}
_pool_lock = threading.Lock()
cdef bint _is_forked_child = False


def _mark_child() -> None:
    global _is_forked_child
    _is_forked_child = True


os.register_at_fork(after_in_child=_mark_child)


cdef class Mapping:
    """Address space over a file, unmapped with the last reference (or view) to it."""

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.start, self.length, 1, flags)
        hr_count(&self._views, 1)

    def __releasebuffer__(self, Py_buffer* buffer):
        hr_count(&self._views, -1)

    @property
    def view_count(self):
        """How many views there are; any thread may give one back."""
        return hr_counted(&self._views)

    def __dealloc__(self):
        if self.start is not NULL:
            munmap(self.start, self.length)


cdef class MappedFile:
    """One file, mapped.  One thread writes; `size_bytes` of -1 means: as long as the file is.

    A writable file is made if it is not there.  `submit` gives a job to the worker; without one,
    the writer does everything itself.  Raises OSError with the path.
    """

    def __init__(
        self, str path, *, int64_t max_bytes, bint is_writable=True, int64_t size_bytes=-1,
        submit=None
    ):
        self.path = path
        self.is_writable = is_writable
        self._descriptor = -1
        # Made here, because no object may be made under the pool's lock: that may run a collection.
        self._reference = weakref.ref(self)
        if size_bytes < 0:
            if is_writable:
                self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            size_bytes = os.fstat(self.take_descriptor()).st_size
            self._is_lent = False
        self.size_bytes = size_bytes
        self.reserved_bytes = self._order_mark = size_bytes
        self._random_from = -1
        self.max_bytes = max(max_bytes, size_bytes)
        self._submit = submit
        self.is_idle = not is_writable

    def __dealloc__(self):
        _idle_mappings.pop(<Py_ssize_t><void*>self, None)
        if self._descriptor >= 0:
            self._close_descriptor()

    @property
    def has_views(self) -> bool:
        """Whether somebody still reads the mapping through a view."""
        if self._old_mappings:
            self._old_mappings = [each for each in self._old_mappings if each.view_count]
        return bool(self._old_mappings) or (
            self._mapping is not None and hr_counted(&self._mapping._views) > 0
        )

    def append_bytes(self, content) -> int:
        """Write `content` behind what was written; return the position it starts at."""
        cdef Py_buffer buffer
        cdef int64_t position = self.size_bytes
        PyObject_GetBuffer(content, &buffer, PyBUF_SIMPLE)
        try:
            self.append_pieces(NULL, 0, <const uint8_t*>buffer.buf, buffer.len)
        finally:
            PyBuffer_Release(&buffer)
        return position

    def view(self, int64_t start, int64_t end) -> memoryview:
        """The bytes from `start` up to `end`, uncopied and read-only."""
        if not 0 <= start <= end <= self.size_bytes:
            raise ValueError(f"{start}..{end} is not within {self.size_bytes} bytes")
        return self.view_of(start, end)

    def truncate(self, int64_t size_bytes) -> None:
        """Forget what lies behind `size_bytes`, on disk too (zeros, or a shorter file)."""
        if not 0 <= size_bytes <= self.size_bytes:
            raise ValueError(f"{size_bytes} is not within {self.size_bytes} bytes")
        if self.has_views:
            memset(self.data() + size_bytes, 0, self.size_bytes - size_bytes)
            self.size_bytes = size_bytes
        else:
            self.size_bytes = size_bytes
            self.trim()

    def trim(self) -> None:
        """Give the reserved tail back: the file ends where its content ends.

        Left undone where a view still reaches behind that end; zeros stand there.
        """
        self._settle_order()
        if self.reserved_bytes == self.size_bytes:
            return
        if self.has_views and self._lent_end > self.size_bytes:
            return
        cdef int failure = 0
        self.drop_mapping()
        if ftruncate(self.take_descriptor(), self.size_bytes) != 0:
            failure = errno
        self._is_lent = False
        if failure:
            raise OSError(failure, os.strerror(failure), self.path)
        self.reserved_bytes = self._order_mark = self.size_bytes
        self._warm_end = 0

    def flush(self) -> None:
        """Wait until what was written is on disk (fdatasync)."""
        try:
            sync_descriptor(self.take_descriptor())
        finally:
            self._is_lent = False

    def duplicate_descriptor(self) -> int:
        """A descriptor of one's own, for `sync_descriptor` on another thread; close it."""
        try:
            return os.dup(self.take_descriptor())
        finally:
            self._is_lent = False

    def rename(self, str path) -> None:
        """Give the file another name; views and the mapping stay."""
        os.rename(self.path, path)
        self.path = path

    def moved_to(self, str path) -> None:
        """Take note that the file's folder was renamed: it is found at `path` from now on."""
        self.path = path

    def close(self, *, bint trim=True) -> None:
        """Trim the file and let go of it; views stay readable.  Idempotent."""
        if self.is_closed:
            return
        try:
            if trim and self.is_writable:
                self.trim()
            else:
                self._settle_order()
        finally:
            self.is_closed = True
            self._mapping = None
            _idle_mappings.pop(<Py_ssize_t><void*>self, None)
            self.give_up_descriptor()

    cdef uint8_t* data(self) except NULL:
        if self._mapping is None:
            self._map()
        return self._mapping.start

    cdef int reserve(self, int64_t end) except -1:
        if end <= self._order_mark:
            return 0
        if end > self.reserved_bytes:
            self._settle_order()
        if end > self.reserved_bytes:
            self._reserve_now(end)
        self._reserve_ahead(end)
        self._tell_tail()
        return 0

    cdef int warm(self, int64_t end, int64_t step_bytes=WARM_BYTES) except -1:
        cdef int64_t start = max(self._warm_end, _whole_pages(self.size_bytes))
        if end <= start:
            return 0
        self._warm_end = min(start + step_bytes, self.reserved_bytes)
        return self._write_pieces(start, NULL, 0, _zeros, self._warm_end - start)

    cdef int will_read(self, int64_t start, int64_t end) except -1:
        cdef unsigned char residency = 0
        cdef int64_t second = _whole_pages(start + 1)  # its header has brought the first page
        end = min(end, self.size_bytes)
        if (0 <= self._random_from <= start and second < end
                and self.size_bytes - start > SURELY_CACHED_BYTES
                and mincore(self._mapping.start + second, 1, &residency) == 0
                and not residency & 1):
            with nogil:
                madvise(self._mapping.start + second, end - second, MADV_WILLNEED)
        return 0

    cdef int append_pieces(
        self, const uint8_t* head, int64_t head_bytes, const uint8_t* body, int64_t body_bytes
    ) except -1:
        cdef int64_t size = head_bytes + body_bytes
        cdef uint8_t* target
        self.reserve(self.size_bytes + size)
        if size < MMAP_STORE_LIMIT:
            self.warm(self.size_bytes + size)
            target = self.data() + self.size_bytes
            if head_bytes:
                memcpy(target, head, head_bytes)
            memcpy(target + head_bytes, body, body_bytes)
        else:
            self._write_pieces(self.size_bytes, head, head_bytes, body, body_bytes)
        self.size_bytes += size
        return 0

    cdef int grow_by(self, int64_t count) except -1:
        assert self.size_bytes + count <= self.reserved_bytes, (self.path, self.size_bytes, count)
        self.size_bytes += count
        return 0

    cdef int drop_mapping(self) except -1:
        if self._mapping is not None and hr_counted(&self._mapping._views):
            if self._old_mappings is None:
                self._old_mappings = []
            self._old_mappings.append(self._mapping)
        self._mapping = None
        self._random_from = -1
        _idle_mappings.pop(<Py_ssize_t><void*>self, None)
        return 0

    cdef int make_idle(self) except -1:
        self.drop_mapping()
        self.max_bytes = self.size_bytes
        self.is_idle = True
        return 0

    cdef int make_writable(self, int64_t max_bytes) except -1:
        self.drop_mapping()
        self.is_idle = False
        if not self.is_writable:
            self.give_up_descriptor()
            self.is_writable = True
        self.max_bytes = max(max_bytes, self.size_bytes)
        return 0

    cdef object view_of(self, int64_t start, int64_t end):
        if start == end:
            return memoryview(b"")
        self.data()
        if end > self._lent_end or not self.has_views:
            self._lent_end = end
        return memoryview(self._mapping)[start:end]

    def _map(self) -> None:
        cdef Mapping mapping = Mapping.__new__(Mapping)
        cdef int64_t length = self.max_bytes if self.is_writable else self.size_bytes
        cdef int protection = PROT_READ | PROT_WRITE if self.is_writable else PROT_READ
        cdef void* start
        cdef int failure = 0
        if self.is_closed:
            raise LogClosedError(f"{self.path} was closed")
        length = max(length, 1)
        start = mmap(
            NULL, length, protection, MAP_SHARED | MAP_NORESERVE, self.take_descriptor(), 0
        )
        if start == MAP_FAILED:
            failure = errno
        self._is_lent = False
        if failure:
            raise OSError(failure, os.strerror(failure), self.path)
        mapping.start, mapping.length = <uint8_t*>start, length
        self._mapping = mapping
        self._tell_tail()
        if self.is_idle:
            self.give_up_descriptor()
            with _pool_lock:
                _idle_mappings[<Py_ssize_t><void*>self] = self._reference
                if HR_HAS_GIL and len(_idle_mappings) > MAX_IDLE_MAPPINGS:
                    _drop_oldest_mapping()

    cdef int _tell_tail(self) noexcept:
        """Have the kernel read nothing ahead behind what a busy file holds now."""
        cdef int64_t start = _whole_pages(self.size_bytes)
        if (self._random_from >= 0 or self._mapping is None
                or self.reserved_bytes - start < MIN_ORDERED_BYTES):
            return 0
        if madvise(self._mapping.start + start, self._mapping.length - start, MADV_RANDOM) == 0:
            self._random_from = start
        return 0

    cdef int64_t _next_step(self) noexcept:
        # Doubling up to the largest step: a quiet partition costs a page, a busy one few calls.
        return min(max(self.reserved_bytes, FIRST_RESERVE_BYTES), MAX_RESERVE_STEP_BYTES)

    cdef int _reserve_now(self, int64_t end) except -1:
        """Reserve up to `end`, and a step behind it where the disk has room for that."""
        cdef int64_t wanted
        cdef int failure
        if not self.is_writable or self.is_closed or _is_forked_child:
            raise LogClosedError(f"{self.path} is not open for writing")
        if end > self.max_bytes:
            raise ValueError(f"{self.path} cannot grow to {end} bytes, only to {self.max_bytes}")
        wanted = min(max(self.reserved_bytes + self._next_step(), end), self.max_bytes)
        self.take_descriptor()
        failure = self._allocate(wanted)
        if failure != 0 and wanted > end:
            wanted = end
            failure = self._allocate(wanted)
        self._is_lent = False
        if failure != 0:
            raise OSError(failure, os.strerror(failure), self.path)
        self.reserved_bytes = wanted
        return 0

    cdef int _reserve_ahead(self, int64_t end) except -1:
        """Order the next step from the worker, or note at which append to do so."""
        cdef int64_t step = self._next_step()
        self._order_mark = self.reserved_bytes
        if (self._submit is None or self._order is not None or step < MIN_ORDERED_BYTES
                or self.reserved_bytes >= self.max_bytes):
            return 0
        if end < self.reserved_bytes - step // 2:
            self._order_mark = self.reserved_bytes - step // 2
            return 0
        self._order = ReserveOrder(
            self.duplicate_descriptor(), self.reserved_bytes,
            min(self.reserved_bytes + step, self.max_bytes))
        try:
            self._submit(self._order.run)
        except LogClosedError:  # no worker any more: the writer reserves, as it does without one
            self._submit = None
            self._settle_order()
        return 0

    cdef int _settle_order(self) except -1:
        """Take note of what the worker reserved; an order it has not begun is taken back."""
        cdef ReserveOrder order = self._order
        cdef int failure
        if order is None:
            return 0
        self._order = None
        failure = order.settle()
        if failure == 0:
            self.reserved_bytes = order.end
        elif failure == EOPNOTSUPP:
            self._submit = None
        # A disk that is full is asked again by the writer, who needs less.
        return 0

    cdef int _allocate(self, int64_t end) except -1:
        """Extend the file with reserved zeros up to `end`: 0 or the errno; all or nothing."""
        cdef int failure = EINTR
        while failure == EINTR:
            failure = posix_fallocate(
                self._descriptor, self.reserved_bytes, end - self.reserved_bytes)
        if failure != 0:
            ftruncate(self._descriptor, self.reserved_bytes)
        return failure

    cdef int _write_pieces(
        self, int64_t position, const uint8_t* head, int64_t head_bytes, const uint8_t* body,
        int64_t body_bytes
    ) except -1:
        """Write both pieces at `position` by pwritev, without the GIL."""
        cdef iovec pieces[2]
        cdef int64_t left = head_bytes + body_bytes
        cdef int64_t written, of_head
        cdef int failure = 0
        cdef int descriptor = self.take_descriptor()
        with nogil:
            # Invariant: what stands before `position` is written, `left` bytes are not.
            while left > 0:
                pieces[0].iov_base = <void*>head
                pieces[0].iov_len = head_bytes
                pieces[1].iov_base = <void*>body
                pieces[1].iov_len = body_bytes
                written = pwritev(descriptor, pieces, 2, position)
                if written <= 0:
                    failure = errno if written < 0 else EIO
                    if failure == EINTR:
                        failure = 0
                        continue
                    break
                position += written
                left -= written
                of_head = min(written, head_bytes)
                head += of_head
                head_bytes -= of_head
                body += written - of_head
                body_bytes -= written - of_head
        self._is_lent = False
        if failure:
            raise OSError(failure, os.strerror(failure), self.path)
        return 0

    cdef int take_descriptor(self) except -1:
        """The file's descriptor, opened if the pool has closed it."""
        if self.is_closed:
            raise LogClosedError(f"{self.path} was closed")
        with _pool_lock:
            self._is_lent = True
            if self._descriptor >= 0:
                _note_use(self)
                return self._descriptor
        try:
            self._reopen()
            with _pool_lock:
                _note_use(self)
        except BaseException:
            self._is_lent = False
            raise
        return self._descriptor

    cdef int _reopen(self) except -1:
        cdef int flags = os.O_RDWR if self.is_writable else os.O_RDONLY
        self._descriptor = os.open(self.path, flags | os.O_CLOEXEC)
        # Touching a mapping behind the file's end would be a SIGBUS.
        if os.fstat(self._descriptor).st_size < self.reserved_bytes:
            self._close_descriptor()
            raise OSError(ESTALE, "somebody has replaced or cut the file", self.path)
        return 0

    cdef int give_up_descriptor(self) except -1:
        with _pool_lock:
            self._close_descriptor()
        return 0

    cdef int _close_descriptor(self) except -1:
        # Also run by __dealloc__, without the lock: nothing but C fields may be relied on there,
        # the weak reference in the pool is dead by then, and its key is all that is left of it.
        if self._descriptor >= 0:
            _open_files.pop(<Py_ssize_t><void*>self, None)
            close(self._descriptor)
            self._descriptor = -1
        return 0


cdef int64_t _whole_pages(int64_t size_bytes) noexcept:
    return (size_bytes + _page_bytes - 1) // _page_bytes * _page_bytes


cdef int _note_use(MappedFile file) except -1:
    """Make it the last to be closed; for whoever holds the lock."""
    cdef Py_ssize_t key = <Py_ssize_t><void*>file
    _open_files.pop(key, None)
    _open_files[key] = file._reference
    if len(_open_files) > MAX_OPEN_DESCRIPTORS:
        _close_oldest(file)
    return 0


cdef int _close_oldest(MappedFile keep) except -1:
    """Close the descriptor that was used longest ago and is not lent."""
    cdef MappedFile oldest
    for key in list(_open_files):
        reference = _open_files.get(key)
        oldest = reference() if reference is not None else None
        if oldest is None:
            _open_files.pop(key, None)
            return 0
        if oldest is not keep and not oldest._is_lent:
            oldest._close_descriptor()
            return 0
    return 0


cdef int _drop_oldest_mapping() except -1:
    """Unmap the idle file that was mapped first; its views, if any, keep its mapping."""
    cdef MappedFile oldest
    key = next(iter(_idle_mappings))
    oldest = _idle_mappings.pop(key)()
    if oldest is not None:
        oldest.drop_mapping()
    return 0


def sync_descriptor(int descriptor) -> None:
    """Wait, without the GIL, until the file's content is on disk; raises OSError."""
    cdef int outcome
    with nogil:
        outcome = fdatasync(descriptor)
    if outcome != 0:
        raise OSError(errno, os.strerror(errno))


def idle_mapping_count() -> int:
    """How many files of closed segments are mapped, for tests and metrics."""
    return len(_idle_mappings)


def open_descriptor_count() -> int:
    """How many descriptors the pool holds, for tests and metrics."""
    return len(_open_files)
