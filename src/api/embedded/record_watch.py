"""Looks for records in a broker's topics, and waits for those that are not there yet, by event."""

import threading
from collections.abc import Callable, Mapping
from types import EllipsisType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ...core.record import Record
from .log_store import LogStore
from .served_node import ServedNode

if TYPE_CHECKING:
    from ...raft.offset_waiters import Waiter

T = TypeVar("T")

Pattern = EllipsisType | str | bytes | None | Callable[[bytes | None], bool]
"""What a key or value has to be: `...` for anything, text as UTF-8, or a function that says."""

_SHOWN_RECORDS = 5
_SHOWN_BYTES = 60


class RecordPattern(NamedTuple):
    """What a record has to look like."""

    value: Pattern = ...
    key: Pattern = ...
    headers: Mapping[str, str | bytes | None] | EllipsisType = ...
    partition: int | EllipsisType = ...

    def matches(self, record: Record, partition: int) -> bool:
        """Whether the record, found in `partition`, is one of these."""
        if self.partition is not ... and self.partition != partition:
            return False
        if not (_matches(self.value, record.value) and _matches(self.key, record.key)):
            return False
        if isinstance(self.headers, EllipsisType):
            return True
        wanted = ((name, _as_bytes(value)) for name, value in self.headers.items())
        return all(pair in record.headers for pair in wanted)

    def __str__(self) -> str:
        said = [f"{name}={wanted!r}" for name, wanted in self._asdict().items() if wanted != ...]
        return f"a record with {', '.join(said)}" if said else "any record"


class RecordWatch:
    """Reads one topic of a broker from its beginning, and goes on as it grows.

    The topic need not be there yet.  For one thread.
    """

    def __init__(self, node: ServedNode, store: LogStore, topic: str) -> None:
        self._node = node
        self._store = store
        self._topic = topic
        self._news = threading.Event()
        self._waiters: list[Waiter] = []
        self._next_offsets: dict[int, int] = {}
        self.records: list[tuple[int, Record]] = []

    def find(self, pattern: RecordPattern, timeout: float) -> Record | None:
        """The first record that matches, waiting up to `timeout` [s] for it."""
        seen = 0

        def found() -> Record | None:
            nonlocal seen
            while seen < len(self.records):
                partition, record = self.records[seen]
                seen += 1
                if pattern.matches(record, partition):
                    return record
            return None

        return self._wait_for(found, timeout)

    def wait_for_count(self, count: int, timeout: float) -> bool:
        """Whether the topic has `count` records or more within `timeout` [s]."""
        return bool(self._wait_for(lambda: len(self.records) >= count or None, timeout))

    def read_more(self) -> None:
        """Take in what the topic has gained."""
        if self._topic not in self._store:
            return
        for partition in self._store[self._topic].partitions:
            start = self._next_offsets.get(partition.index)
            for view in partition.scan(start):
                self.records += [(partition.index, record) for record in view]
                self._next_offsets[partition.index] = view.next_offset

    def _wait_for(self, found: Callable[[], T | None], timeout: float) -> T | None:
        deadline_ms = self._node.clock.monotonic_ms() + timeout * 1000
        try:
            while True:
                self._news.clear()
                self._node.run(self._listen)
                self.read_more()
                result = found()
                left_ms = deadline_ms - self._node.clock.monotonic_ms()
                if result is not None or left_ms <= 0:
                    return result
                self._news.wait(left_ms / 1000)
        finally:
            self._node.run(self._stop_listening)

    def _listen(self) -> None:
        """Have `_news` set when the topic grows, comes or goes; on the loop thread."""
        self._stop_listening()
        self._node.watchers.add(self._news)
        image = self._node.cluster_group.state.topics.get(self._topic)
        for index in range(image.partition_count if image is not None else 0):
            partition = self._node.replicas.partition(self._topic, index)
            self._waiters.append(partition.add_fetch_waiter(self._news.set))

    def _stop_listening(self) -> None:
        self._node.watchers.discard(self._news)
        for waiter in self._waiters:
            waiter.cancel()
        self._waiters.clear()

    def describe(self) -> str:
        """The newest records, for a person who expected another."""
        if self._topic not in self._store:
            return f"there is no topic {self._topic}"
        if not self.records:
            return f"{self._topic} has no records"
        shown = self.records[-_SHOWN_RECORDS:]
        lines = [_shown(partition, record) for partition, record in shown]
        which = "its newest are" if len(shown) < len(self.records) else "they are"
        return f"{self._topic} has {len(self.records)} records; {which}:\n  " + "\n  ".join(lines)


def _matches(pattern: Pattern, found: bytes | None) -> bool:
    if isinstance(pattern, EllipsisType):
        return True
    if callable(pattern):
        return bool(pattern(found))
    return _as_bytes(pattern) == found


def _as_bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _shown(partition: int, record: Record) -> str:
    headers = f" headers={dict(record.headers)!r}" if record.headers else ""
    key, value = _cut(record.key), _cut(record.value)
    return f"{partition}@{record.offset} key={key} value={value}{headers}"


def _cut(content: bytes | None) -> str:
    if content is None or len(content) <= _SHOWN_BYTES:
        return repr(content)
    return f"{content[:_SHOWN_BYTES]!r}... ({len(content)} bytes)"
