"""The waiting for leaders that are about to be replaced, a moment at most.

Who has lost a leader asks for the next one, often before it was elected.  Where librdkafka is told
of none, or again of the one that it lost, it asks anew only after a second.  So it is answered when
somebody leads (`LeaderWaits`).

What came behind it on the same connection waits as well, a Fetch of other partitions too: answers
keep the order of the requests, which Kafka's protocol demands, so none could be sent before it.
Hence a second at most.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .later_answer import Body, LaterAnswer

if TYPE_CHECKING:
    from ...raft.topic_image import TopicImage
    from ..broker import Broker

MAX_WAIT_MS = 1_000


class LeaderWait(LaterAnswer):
    """An answer that is made once its topics, or partitions, are led, or after MAX_WAIT_MS."""

    def __init__(self, broker: "Broker", describe: Callable[[], Body]) -> None:
        self._broker = broker
        self._describe = describe
        self._wait_ms = MAX_WAIT_MS

    def begin(self, images: Iterable["TopicImage"]) -> bool:
        """Wait for these topics; False where none of them is about to be led anew."""
        return self._begun(self._broker.leader_waits.begin(self, images))

    def begin_for_some(self, image: "TopicImage", indexes: Iterable[int]) -> bool:
        """As `begin`, for these partitions of one topic."""
        return self._begun(self._broker.leader_waits.begin_for_some(self, image, indexes))

    def _begun(self, has_begun: bool) -> bool:
        if has_begun:
            self._broker.deadlines.add(self, self._wait_ms)
        return has_begun

    def expire(self) -> None:
        """Time is over, for many at once perhaps: each is answered in its turn."""
        self._broker.leader_waits.give_up(self)

    def be_told(self) -> None:
        """Answer with whoever leads by now."""
        self.stop_waiting()
        if self.on_body is not None:
            self.give(self._describe())

    def stop_waiting(self) -> None:
        """See `LaterAnswer`."""
        self._broker.leader_waits.discard(self)
        self._broker.deadlines.discard(self, self._wait_ms)
