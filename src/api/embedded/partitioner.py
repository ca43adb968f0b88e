"""Which partition a record goes to, as Kafka's clients choose it."""

from typing import TYPE_CHECKING

from ...core.murmur2 import partition_for_key

if TYPE_CHECKING:
    from typing_extensions import Buffer

STICKY_BYTES = 16_384
"""Records without a key stay on one partition until it got this much (Kafka's batch.size)."""


class Partitioner:
    """For one topic handle; safe on any thread, since a lost count only moves on a little later."""

    def __init__(self, partition_count: int, first_partition: int) -> None:
        self._partition_count = partition_count
        self._sticky = first_partition % partition_count
        self._sticky_bytes = 0

    def partition_of(self, key: "Buffer | None", size_bytes: int) -> int:
        """By murmur2 where there is a key; else the one that is being filled, then the next."""
        if self._partition_count == 1:
            return 0
        if key is not None:
            return partition_for_key(key, self._partition_count)
        if self._sticky_bytes >= STICKY_BYTES:
            self._sticky_bytes = 0
            self._sticky = (self._sticky + 1) % self._partition_count
        self._sticky_bytes += size_bytes
        return self._sticky
