"""The memory that requests are received into: one buffer for everybody, and a few for large frames.

A connection reads into `shared` and parses there whatever frames arrived whole; only the start of a
frame that is still under way is moved to a frame buffer of its own.  So an idle connection owns no
buffer at all.  Loop thread only: a read and its parsing happen in one go, so one buffer is enough.
Who sends large frames is read by `head` first: what has to be moved then is little, and the rest is
read to where the frame is gathered.
"""

SHARED_BYTES = 256 * 1024
HEAD_BYTES = 4096
SMALLEST_FRAME_BUFFER_BYTES = 512
MAX_FREE_BYTES = 16 * 1024 * 1024


class ReceiveBuffers:
    """Lends frame buffers and keeps a bounded number of returned ones for the next large frame."""

    def __init__(
        self, *, shared_bytes: int = SHARED_BYTES, max_free_bytes: int = MAX_FREE_BYTES
    ) -> None:
        self.shared = memoryview(bytearray(shared_bytes))
        self.head = self.shared[:HEAD_BYTES]
        self.free_bytes = 0
        self._max_free_bytes = max_free_bytes
        self._free: list[memoryview] = []

    def take(self, *, wanted_bytes: int, held_bytes: int) -> memoryview:
        """A buffer for a frame of `wanted_bytes` of which `held_bytes` are here already.

        A free buffer that fits whole is handed out as it is.  A new one is only twice as large as
        what has really arrived: the length that a client announces allocates nothing.
        """
        for slot, buffer in enumerate(self._free):
            if wanted_bytes <= len(buffer) <= max(4 * wanted_bytes, SHARED_BYTES):
                del self._free[slot]
                self.free_bytes -= len(buffer)
                return buffer
        size_bytes = max(SMALLEST_FRAME_BUFFER_BYTES, 2 * held_bytes)
        return memoryview(bytearray(min(wanted_bytes, size_bytes)))

    def give_back(self, buffer: memoryview) -> None:
        """Take back a buffer that nobody reads any more; small or surplus ones are dropped."""
        if len(buffer) < len(self.shared) // 4:
            return
        if self.free_bytes + len(buffer) <= self._max_free_bytes:
            self._free.append(buffer)
            self.free_bytes += len(buffer)
