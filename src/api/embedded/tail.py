"""`Tail`: follows a topic record by record, with its place kept per consumer group.

A record counts as processed when the next one is asked for.  What is processed is committed when
the records that were read ahead are used up, by `commit`, and by `close`: after a crash at most
READ_AHEAD_RECORDS come again, none is skipped.
"""

import logging
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Literal, Self

from ...core.errors import HeadraceError, OffsetOutOfRangeError
from ...core.record import Record
from .columns import RecordBatchView
from .errors import InvalidArgumentError
from .group_offsets import commit_offsets, committed_offsets
from .inputs import as_seconds
from .node import Node
from .topic_partition import TopicPartition

Start = Literal["earliest", "latest"]

READ_AHEAD_RECORDS = 1000
_READ_AHEAD_BYTES = 4 * 1024 * 1024

logger = logging.getLogger(__name__)


class Tail:
    """An iterator of records over all partitions of a topic; made by `Topic.tail`.

    A context manager; for one thread.  Waiting is by event, not by asking again.
    """

    def __init__(
        self,
        node: Node,
        partitions: Sequence[TopicPartition],
        *,
        group: str | None,
        start: Start,
        follow: bool,
        timeout: float | None,
    ) -> None:
        if start not in ("earliest", "latest"):
            raise InvalidArgumentError("start", start, 'it takes "earliest" or "latest"')
        self._node = node
        self._partitions = partitions
        self._group = group
        self._follow = follow
        self._timeout = as_seconds(timeout, "timeout")
        self._watch = node.watch([each.stored for each in partitions])
        self._turn = 0
        self._records: Iterator[Record] = iter(())
        self._current = -1  # the partition whose records are being given out
        self._after_view = -1
        self._in_hand = -1  # the offset of the record that was given out last
        self._is_closed = False
        self._is_interrupted = False
        committed = {} if group is None else committed_offsets(node, group)
        # Where each partition goes on: everything below is processed.
        self._positions = {
            each.index: self._first_offset(each, committed.get((each.topic, each.index)), start)
            for each in partitions
        }
        self._committed = dict(self._positions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_committed"):
            try:
                self.close()
            except HeadraceError as error:
                logger.warning("%s of group %s: not committed: %s", self, self._group, error)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        """The next record; waits for it.  Raises LogClosedError when the store is closed."""
        while True:
            record = self.take_buffered()
            if record is not None:
                return record
            if not self.read_ahead():
                raise StopIteration

    @property
    def partition(self) -> int:
        """The partition of the record that was given out last; -1 before the first."""
        return self._current

    @property
    def positions(self) -> dict[int, int]:
        """Per partition, the offset that a restart would go on at, once committed."""
        return dict(self._positions)

    def commit(self) -> None:
        """Store what is processed, the record that was given out last included."""
        if self._group is None:
            raise InvalidArgumentError(
                "group", None, "there is none to commit for: tail(group=...)"
            )
        if self._in_hand >= 0:
            self._positions[self._current] = self._in_hand + 1
        self._commit()

    def close(self) -> None:
        """Commit what is processed (the last record only if another one was asked for)."""
        if not self._is_closed:
            self._is_closed = True
            self._records = iter(())
            if self._group is not None:
                self._commit()

    # -- reading

    def take_buffered(self) -> Record | None:
        """The next of the records that were read ahead; None where they are used up."""
        for record in self._records:
            self._positions[self._current] = self._in_hand = record.offset
            return record
        return None

    def read_ahead(self) -> bool:
        """Commit what is used up and read on, partition by partition in turn; waits for news.

        False when no more come: closed, at the end, after the timeout, or interrupted.
        """
        if self._is_closed:
            return False
        self._finish_view()
        while True:
            if self._follow:
                self._watch.arm()
            try:
                for _ in self._partitions:
                    partition = self._partitions[self._turn % len(self._partitions)]
                    self._turn += 1
                    view = self._read(partition)
                    if len(view):
                        self._start_view(partition.index, view)
                        return True
                    self._positions[partition.index] = view.next_offset
                # Behind `arm`: an interruption before it shows here, one behind it ends the wait.
                if self._is_interrupted or not self._follow:
                    return False
                if not self._watch.wait(self._timeout):
                    return False
            finally:
                self._watch.disarm()

    def resume(self) -> None:
        """Let the next `read_ahead` wait again."""
        self._is_interrupted = False

    def interrupt(self) -> None:
        """End a `read_ahead` that waits on another thread, or is about to."""
        self._is_interrupted = True
        self._watch.wake()

    def _read(self, partition: TopicPartition) -> RecordBatchView:
        try:
            return self._read_at(partition)
        except OffsetOutOfRangeError as error:
            position = min(max(error.log_start_offset, error.offset), error.log_end_offset)
            logger.warning(
                "%s-%d: records %d to %d are gone; the tail goes on at %d",
                partition.topic,
                partition.index,
                error.offset,
                position,
                position,
            )
            self._positions[partition.index] = position
            return self._read_at(partition)

    def _read_at(self, partition: TopicPartition) -> RecordBatchView:
        return partition.read(
            self._positions[partition.index],
            max_bytes=_READ_AHEAD_BYTES,
            max_records=READ_AHEAD_RECORDS,
        )

    def _start_view(self, index: int, view: RecordBatchView) -> None:
        self._current = index
        self._after_view = view.next_offset
        self._records = iter(view)

    def _finish_view(self) -> None:
        if self._after_view >= 0:
            self._positions[self._current] = self._after_view
            self._after_view = self._in_hand = -1
            if self._group is not None:
                self._commit()

    # -- the group's place

    def _first_offset(self, partition: TopicPartition, committed: int | None, start: Start) -> int:
        if committed is not None:
            return committed
        return partition.log_start_offset if start == "earliest" else partition.log_end_offset

    def _commit(self) -> None:
        assert self._group is not None
        positions = dict(self._positions)
        changed = {
            (self._partitions[0].topic, index): offset
            for index, offset in positions.items()
            if self._committed[index] != offset
        }
        if changed:
            commit_offsets(self._node, self._group, changed)
            self._committed = positions
