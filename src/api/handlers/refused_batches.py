"""What follows a refused batch on its connection is refused as well, until that batch comes again.

A client with several requests under way sends batch 2 before it hears that batch 1 was refused.
If the partition gets its leader (or its ISR, or its topic) in between, the log sees batch 2 alone.
It then answers OUT_OF_ORDER_SEQUENCE_NUMBER, upon which librdkafka begins a new producer epoch, and
what it had under way to other partitions and was stored is stored again; or, where the log knows
nothing of the producer, it takes batch 2 and has no place for batch 1 any more.  Apache Kafka does
both.  Here batch 2 is told what batch 1 was told, and the client sends them again, in order.
"""

import struct

from ...raft.topic_names import MAX_TOPIC_NAME_LENGTH
from ..wire.error_codes import ErrorCode

# Refusals after which a client sends the same batch again.
TRANSIENT = frozenset(
    (
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.KAFKA_STORAGE_ERROR,
    )
)
HEADER_BYTES = 61  # of a batch; it is not known to be one yet
PRODUCER = struct.Struct(">qhi")  # producer_id, producer_epoch, base_sequence
PRODUCER_OFFSET = 43
# Names of partitions come from the client, and are remembered on its word: some 700 bytes each,
# the oldest given up for the newest, of which nobody hears again if it moved elsewhere.
MAX_REMEMBERED = 4096
# More than any client has under way to one partition.
MAX_FOLLOWERS = 64
_SEQUENCES = 1 << 31


class _Refused:
    """The first batch that was refused, and how far the later ones are that were for its sake."""

    __slots__ = ("count", "epoch", "producer_id", "reached", "reason", "sequence")

    def __init__(self, batch: tuple[int, int, int], reason: tuple[int, str]) -> None:
        self.producer_id, self.epoch, self.sequence = batch
        self.reason = reason
        self.reached = 0  # a connection's batches come in order: what is not behind it comes again
        self.count = 0

    def takes_follower(self, epoch: int, sequence: int) -> bool:
        distance = (sequence - self.sequence) % _SEQUENCES
        is_next = epoch == self.epoch and self.reached < distance < _SEQUENCES // 2
        if is_next:
            self.reached = distance
            self.count += 1
        return is_next and self.count <= MAX_FOLLOWERS


class RefusedBatches:
    """Per partition of one connection: the idempotent batch that must come again first."""

    __slots__ = ("_refused",)

    def __init__(self) -> None:
        self._refused: dict[tuple[str, int], _Refused] = {}

    def note_refused(
        self, topic: str, index: int, records: memoryview | None, reason: tuple[int, str]
    ) -> None:
        """Remember a batch that was refused for a `reason`, code and message, that is TRANSIENT."""
        batch = _producer_of(records)
        key = (topic, index)
        if batch is None or key in self._refused or len(topic) > MAX_TOPIC_NAME_LENGTH:
            return
        if len(self._refused) >= MAX_REMEMBERED:
            del self._refused[next(iter(self._refused))]
        self._refused[key] = _Refused(batch, reason)

    def reason_to_wait(
        self, topic: str, index: int, records: memoryview | None
    ) -> tuple[int, str] | None:
        """Code and message for a batch that may not be tried yet; None where it may.

        A batch that comes again while the refused one did not shows that its client gave that one
        up: then the log alone judges, as it does for another producer or epoch.
        """
        refused = self._refused.get((topic, index))
        batch = _producer_of(records)
        if refused is None or batch is None or batch[0] != refused.producer_id:
            return None
        if refused.takes_follower(*batch[1:]):
            return refused.reason
        del self._refused[topic, index]
        return None


def _producer_of(records: memoryview | None) -> tuple[int, int, int] | None:
    """producer_id, producer_epoch and base_sequence; None where there is no idempotent batch."""
    if records is None or len(records) < HEADER_BYTES:
        return None
    producer_id, epoch, sequence = PRODUCER.unpack_from(records, PRODUCER_OFFSET)
    return (producer_id, epoch, sequence) if producer_id >= 0 else None
