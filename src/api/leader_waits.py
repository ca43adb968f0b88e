"""`LeaderWaits`: who waits until a topic is led anew, woken when the last partition of it is.

A topic's partitions are looked at when somebody begins to wait for it, and once more when other
brokers are lost, or up, than before; besides, only those that have a new state.  So an election is
as much work here whether one client waits for its end or a thousand do.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from ..raft.cluster_group import ClusterGroup
from ..raft.group_seats import GroupSeats
from ..raft.partition_group import parse_partition_group_id
from ..raft.topic_image import TopicImage

LOOK_S = 0.01  # that a silent broker is heard again, no call tells


class Waiting(Protocol):
    """Who waits."""

    def be_told(self) -> None:
        """All is led again that can be, or it gave up; called from the loop, inside no other call
        of ours."""
        ...


class _Topic:
    """One that is waited for: which of its partitions are to be led anew, and by whom."""

    __slots__ = ("leaderless", "waiting")

    def __init__(self, leaderless: set[int]) -> None:
        self.leaderless = leaderless
        self.waiting: dict[Waiting, None] = {}


class LeaderWaits:
    """See the module.  `lost()`: who has just gone, or fallen silent; `live()`: who is up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seats: GroupSeats,
        cluster_group: ClusterGroup,
        *,
        lost: Callable[[], frozenset[int]],
        live: Callable[[], frozenset[int]],
    ) -> None:
        self._loop = loop
        self._seats = seats
        self._cluster_group = cluster_group
        self._find_lost = lost
        self._find_live = live
        self._lost: frozenset[int] = frozenset()
        self._live: frozenset[int] = frozenset()
        self._topics: dict[bytes, _Topic] = {}
        self._topic_ids: dict[Waiting, set[bytes]] = {}
        self._changed: set[tuple[bytes, int]] = set()
        self._told_next: dict[Waiting, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        seats.on_state = self._note_state

    def __len__(self) -> int:
        return len(self._topic_ids)

    def begin(self, waiting: Waiting, images: Iterable[TopicImage]) -> bool:
        """Tell it once no partition of these topics is about to be led anew; False if none is."""
        if not self._find_lost():
            return False
        self._look_at_brokers()
        topic_ids = {image.topic_id for image in images if self._is_watched(image)}
        if not topic_ids:
            return False
        self._topic_ids[waiting] = topic_ids
        for topic_id in topic_ids:
            self._topics[topic_id].waiting[waiting] = None
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_S, self._look)
        return True

    def give_up(self, waiting: Waiting) -> None:
        """It has waited long enough: have it told in its turn; harmless after it was told."""
        if waiting in self._topic_ids:
            self.discard(waiting)
            self._tell_soon(waiting)

    def discard(self, waiting: Waiting) -> None:
        """It waits no more; harmless after it was told."""
        self._told_next.pop(waiting, None)
        for topic_id in self._topic_ids.pop(waiting, ()):
            topic = self._topics[topic_id]
            del topic.waiting[waiting]
            if not topic.waiting:
                del self._topics[topic_id]

    def _is_watched(self, image: TopicImage) -> bool:
        """Whether the topic is waited for from now on."""
        if image.topic_id not in self._topics:
            leaderless = self._leaderless(image)
            if not leaderless:
                return False
            self._topics[image.topic_id] = _Topic(leaderless)
        return True

    # -- looking

    def _note_state(self, base_id: str) -> None:
        """A partition has another state: look at it once this turn of the loop is over."""
        key = parse_partition_group_id(base_id) if self._topics else None
        if key is not None and key[0] in self._topics:
            if not self._changed:
                self._loop.call_soon(self._look_at_changed)
            self._changed.add(key)

    def _look_at_changed(self) -> None:
        changed, self._changed = self._changed, set()
        for topic_id, index in changed:
            topic, image = self._topics.get(topic_id), self._image_of(topic_id)
            if topic is None:
                continue
            if image is not None and self._is_to_be_led(image, index):
                topic.leaderless.add(index)
            elif image is None:
                topic.leaderless.clear()
            else:
                topic.leaderless.discard(index)
            if not topic.leaderless:
                self._end(topic_id)

    def _look(self) -> None:
        self._timer = None
        self._look_at_brokers()
        if self._topics:
            self._timer = self._loop.call_later(LOOK_S, self._look)

    def _look_at_brokers(self) -> None:
        """Look at every topic again if others are lost, or up, than when they were looked at."""
        lost, live = self._find_lost(), self._find_live()
        if (lost, live) == (self._lost, self._live):
            return
        self._lost, self._live = lost, live
        for topic_id, topic in list(self._topics.items()):
            image = self._image_of(topic_id)
            topic.leaderless = set() if image is None else self._leaderless(image)
            if not topic.leaderless:
                self._end(topic_id)

    def _image_of(self, topic_id: bytes) -> TopicImage | None:
        return self._cluster_group.state.topic_by_id(topic_id)

    def _leaderless(self, image: TopicImage) -> set[int]:
        return {i for i in range(image.partition_count) if self._is_to_be_led(image, i)}

    def _is_to_be_led(self, image: TopicImage, index: int) -> bool:
        """Whether its leader is lost, and an in-sync replica is there to be elected."""
        state = self._seats.state_of(image, index) if self._lost else None
        if state is None or state.leader not in self._lost:
            return False
        return any(each in self._live and each != state.leader for each, _ in state.isr)

    # -- telling

    def _end(self, topic_id: bytes) -> None:
        """The topic is led; who waits for no other one is told."""
        for waiting in self._topics.pop(topic_id).waiting:
            topic_ids = self._topic_ids[waiting]
            topic_ids.discard(topic_id)
            if not topic_ids:
                del self._topic_ids[waiting]
                self._tell_soon(waiting)

    def _tell_soon(self, waiting: Waiting) -> None:
        if not self._told_next:
            self._loop.call_soon(self._tell_next)
        self._told_next[waiting] = None

    def _tell_next(self) -> None:
        """Tell one a turn of the loop: what else is to be done goes on between answers."""
        if self._told_next:
            waiting = next(iter(self._told_next))
            del self._told_next[waiting]
            if self._told_next:
                self._loop.call_soon(self._tell_next)
            waiting.be_told()
