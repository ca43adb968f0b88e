"""What an append tells: where the records went, and whether they are on disk."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Receipt:
    """Unpacks as `first_offset, record_count`.

    `is_on_disk` is whether the records were synced when the call returned; otherwise they are in
    the page cache, which survives the process but not the machine.
    """

    topic: str
    partition: int
    first_offset: int
    record_count: int
    leader_epoch: int
    is_on_disk: bool

    def __iter__(self) -> Iterator[int]:
        yield self.first_offset
        yield self.record_count

    @property
    def last_offset(self) -> int:
        """The offset of the last record, inclusive."""
        return self.first_offset + self.record_count - 1
