"""`GroupOffsets`: the committed offsets of one group, and when they expire.

An offset becomes visible once its record passed the high watermark of __consumer_offsets;
until then it is pending, and neither fetched nor expired.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

TopicPartition = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedOffset:
    """Where a group goes on in one partition; times in milliseconds since the epoch."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""
    commit_timestamp_ms: int = -1
    expire_timestamp_ms: int | None = None  # set by OffsetCommit v2-4 alone (KIP-211)


class GroupOffsets:
    """Committed and pending offsets by (topic, partition)."""

    __slots__ = ("_pending", "committed")

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, CommittedOffset] = {}
        self._pending: dict[TopicPartition, list[CommittedOffset]] = {}

    def __bool__(self) -> bool:
        return bool(self.committed or self._pending)

    def begin_commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Note that records of `offsets` are being appended, in this order."""
        for key, committed in offsets.items():
            self._pending.setdefault(key, []).append(committed)

    def finish_commit(
        self, offsets: Mapping[TopicPartition, CommittedOffset], *, is_stored: bool
    ) -> None:
        """Make `offsets` visible, or drop them; what `forget` removed meanwhile stays away."""
        for key, committed in offsets.items():
            waiting = self._pending.get(key, [])
            for position, pending in enumerate(waiting):
                if pending is committed:
                    del waiting[position]
                    if is_stored:
                        self.committed[key] = committed
                    break
            if not waiting:
                self._pending.pop(key, None)

    def forget(self, key: TopicPartition) -> bool:
        """Drop what is committed or pending for `key`; whether there was anything."""
        was_pending = self._pending.pop(key, None) is not None
        return self.committed.pop(key, None) is not None or was_pending

    def all_keys(self) -> list[TopicPartition]:
        """Every partition with an offset, pending ones included."""
        return list({**self.committed, **self._pending})

    def keys_of_topic(self, topic: str) -> list[TopicPartition]:
        """The partitions of `topic` with an offset, pending ones included."""
        return [key for key in self.all_keys() if key[0] == topic]

    def expired_keys(
        self,
        *,
        now_ms: int,
        retention_ms: int,
        since_ms: int | None,
        is_spared: Callable[[str], bool],
    ) -> Iterator[TopicPartition]:
        """The partitions whose offset is too old.

        `since_ms` is when the group became empty, None for counting from each commit; a
        topic which `is_spared` is still consumed.  An offset's own expire time overrules both.
        """
        for key, committed in self.committed.items():
            if key in self._pending or is_spared(key[0]):
                continue
            if committed.expire_timestamp_ms is not None:
                if now_ms >= committed.expire_timestamp_ms:
                    yield key
            else:
                base_ms = committed.commit_timestamp_ms if since_ms is None else since_ms
                if now_ms - base_ms >= retention_ms:
                    yield key
