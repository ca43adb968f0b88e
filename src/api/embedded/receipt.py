"""What an append tells: where the records went, and whether they are on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Receipt:
    """Unpacks as `first_offset, record_count`.

    Where keys spread the records over several partitions, `parts` has a receipt each, in the order
    of partitions; `partition` and `first_offset` are then those of the call's first record.
    `is_on_disk` is whether the records were synced when the call returned; otherwise they are in
    the page cache, which survives the process but not the machine.
    """

    topic: str
    partition: int
    first_offset: int
    record_count: int
    leader_epoch: int
    is_on_disk: bool
    parts: "tuple[Receipt, ...]" = ()

    @classmethod
    def spread(cls, parts: "Sequence[Receipt]", first_partition: int) -> "Receipt":
        """One for all of what keys spread over several partitions."""
        first = next(each for each in parts if each.partition == first_partition)
        return cls(
            first.topic,
            first_partition,
            first.first_offset,
            sum(each.record_count for each in parts),
            first.leader_epoch,
            all(each.is_on_disk for each in parts),
            tuple(parts),
        )

    def __iter__(self) -> Iterator[int]:
        yield self.first_offset
        yield self.record_count

    @property
    def last_offset(self) -> int:
        """The offset of the last record, inclusive; ValueError where `parts` has one each."""
        if self.parts:
            raise ValueError("the records went to several partitions: ask each of `parts`")
        return self.first_offset + self.record_count - 1
