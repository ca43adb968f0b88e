"""`FutureLog`: a copy of a log in another folder of `log.dirs`, filled to take its place (KIP-113).

It is appended to as a follower's log.  Once it ends where the current log ends, it takes the name
of the current one, and with it what no batch tells: the producers, the leader epochs, who waits.
"""

from pathlib import Path

from .checkpoint_file import TopicPartition
from .log import Log
from .log_flusher import FlushPlan, OnError, OnFlushed

# In the folder from before it takes the place of the current log until that one is gone: of two
# folders with one name, a start knows by it that they are copies.
REPLACING_NAME = ".headrace_replacing"


class FutureLog(Log):
    """See the module; after `take_place_of` it is a log as any other."""

    @property
    def key(self) -> TopicPartition:
        return self.topic, self.partition

    @property
    def is_flushing(self) -> bool:
        """Whether the worker syncs it now, by its present name."""
        return self._flusher.is_in_flight

    def take_place_of(self, current: Log) -> list[tuple[OnFlushed, OnError]]:
        """Be the log of the partition from now on; `current` is closed, its folder stays.

        Both end at the same offset, and no sync of this one is under way.  Gives those who wait for
        a sync of `current`: `flush_async` is to be asked for them again.  Raises KafkaStorageError;
        `current` is then as it was.
        """
        assert self.log_end_offset == current.log_end_offset, (self.path, current.path)
        assert not self.is_flushing, self.path
        path = self.path.with_name(f"{self.topic}-{self.partition}")
        with self._storage_guard():
            (self.path / REPLACING_NAME).touch()
            self._epochs.take_over(current._epochs)
            self.path.rename(path)
        self._moved_to(path)
        self._producers.take_over(current._producers)
        self.update_config(current.config)
        self.update_high_watermark(current.high_watermark)
        waiters = current._flusher.take_waiters()
        current.close(clean=False)
        return waiters

    def skip_to(self, offset: int) -> None:
        """Go on at `offset`: between the last record and it there is none any more."""
        self.log_end_offset = self.active_segment.next_offset = offset
        self.roll()

    def plan_whole_flush(self) -> FlushPlan:
        """What makes all of it durable under its present name."""
        self._has_new_names = True
        return self._plan_flush()

    def flushed(self, end_offset: int) -> None:
        """The plan was carried out."""
        self._flushed(end_offset)

    def flush_failed(self, error: BaseException) -> None:
        """The plan failed: the log is offline."""
        self._flush_failed(error)

    def _moved_to(self, path: Path) -> None:
        self.path = path
        self._epochs.folder_moved(path)
        self._producers.folder_moved(path)
        self._txn_indexes.forget(self.segments)
        for segment in self.segments:
            segment.folder_moved(str(path))
