"""The waiting of a Metadata for leaders that are about to be replaced, a moment at most.

Who has lost a leader asks for the next one, often before it was elected.  Where librdkafka is told
of none, or again of the one that it lost, it asks anew only after a second.  So it is answered when
somebody leads.  Answers keep their order: what came behind on the same connection waits as well.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .later_answer import Body, LaterAnswer

if TYPE_CHECKING:
    from ...raft.topic_image import TopicImage
    from ..broker import Broker

MAX_WAIT_S = 1.0
LOOK_S = 0.01  # that a silent broker is heard again, no call tells
RECENTLY_MS = 1_000
"""So long after a broker went down, others may still be elected in its place."""


def will_be_led_anew(broker: "Broker", images: Iterable["TopicImage"]) -> bool:
    """Whether the leader of any partition of these has just gone or fallen silent, and an in-sync
    replica is there to be elected."""
    lost = lost_broker_ids(broker)
    if not lost or broker.is_cut_off:
        return False
    live = broker.live_broker_ids()
    for image in images:
        for index in range(image.partition_count):
            state = broker.partition_state(image.name, index)
            if state is None or state.leader not in lost:
                continue
            if any(each in live and each != state.leader for each, _ in state.isr):
                return True
    return False


def lost_broker_ids(broker: "Broker") -> frozenset[int]:
    """Who went down a moment ago and is not back, and who is about to count as down."""
    runtime = broker.membership.runtime
    if runtime is None:
        return frozenset()
    return runtime.silent_brokers() | broker.gone_within(RECENTLY_MS)


class LeaderWait(LaterAnswer):
    """An answer that is made once `is_over`, or after MAX_WAIT_S."""

    def __init__(self, is_over: Callable[[], bool], describe: Callable[[], Body]) -> None:
        self._is_over = is_over
        self._describe = describe
        self._loop = asyncio.get_running_loop()
        self._due_s = self._loop.time() + MAX_WAIT_S
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        if self._is_over() or self._loop.time() >= self._due_s:
            self.give(self._describe())
        else:
            self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop_waiting(self) -> None:
        """See `LaterAnswer`."""
        self._timer.cancel()
