"""`LeaderWaits`: who waits until a topic is led anew, or one partition of it, and is woken then.

A topic is led anew when the last partition of it is.  Partitions are looked at when somebody begins
to wait for them, and once more when other brokers are lost, or up, than before; besides, only those
that have a new state.  So an election is as much work here whether one client waits for its end or
a thousand do.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from ..raft.cluster_group import ClusterGroup
from ..raft.group_seats import GroupSeats
from ..raft.partition_group import parse_partition_group_id
from ..raft.topic_image import TopicImage

LOOK_S = 0.01  # that a silent broker is heard again, no call tells
ALL_PARTITIONS = -1

Place = tuple[bytes, int]  # a topic's id, and a partition of it or ALL_PARTITIONS


class Waiting(Protocol):
    """Who waits."""

    def be_told(self) -> None:
        """All is led again that can be, or it gave up; called from the loop, inside no other call
        of ours."""
        ...


class _Watch:
    """A place that is waited for: which partitions there are to be led anew, and who waits."""

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
        self._watches: dict[Place, _Watch] = {}
        self._places: dict[Waiting, set[Place]] = {}
        self._changed: set[Place] = set()
        self._told_next: dict[Waiting, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        seats.on_state.append(self._note_state)

    def __len__(self) -> int:
        return len(self._places)

    def begin(self, waiting: Waiting, images: Iterable[TopicImage]) -> bool:
        """Tell it once no partition of these topics is about to be led anew; False if none is."""
        return self._begin(waiting, ((image, ALL_PARTITIONS) for image in images))

    def begin_for_some(self, waiting: Waiting, image: TopicImage, indexes: Iterable[int]) -> bool:
        """As `begin`, for these partitions of one topic."""
        return self._begin(waiting, ((image, index) for index in indexes))

    def _begin(self, waiting: Waiting, wanted: Iterable[tuple[TopicImage, int]]) -> bool:
        if not self._find_lost():
            return False
        self._look_at_brokers()
        places = {(image.topic_id, i) for image, i in wanted if self._is_watched(image, i)}
        if not places:
            return False
        self._places[waiting] = places
        for place in places:
            self._watches[place].waiting[waiting] = None
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_S, self._look)
        return True

    def give_up(self, waiting: Waiting) -> None:
        """It has waited long enough: have it told in its turn; harmless after it was told."""
        if waiting in self._places:
            self.discard(waiting)
            self._tell_soon(waiting)

    def discard(self, waiting: Waiting) -> None:
        """It waits no more; harmless after it was told."""
        self._told_next.pop(waiting, None)
        for place in self._places.pop(waiting, ()):
            watch = self._watches[place]
            del watch.waiting[waiting]
            if not watch.waiting:
                del self._watches[place]

    def _is_watched(self, image: TopicImage, index: int) -> bool:
        """Whether the place is waited for from now on."""
        place = (image.topic_id, index)
        if place not in self._watches:
            leaderless = self._leaderless(image, index)
            if not leaderless:
                return False
            self._watches[place] = _Watch(leaderless)
        return True

    # -- looking

    def _note_state(self, base_id: str) -> None:
        """A partition has another state: look at it once this turn of the loop is over."""
        key = parse_partition_group_id(base_id) if self._watches else None
        if key is not None and (key in self._watches or (key[0], ALL_PARTITIONS) in self._watches):
            if not self._changed:
                self._loop.call_soon(self._look_at_changed)
            self._changed.add(key)

    def _look_at_changed(self) -> None:
        changed, self._changed = self._changed, set()
        for topic_id, index in changed:
            for place in ((topic_id, index), (topic_id, ALL_PARTITIONS)):
                if place in self._watches:
                    self._look_at_one(place, index)

    def _look_at_one(self, place: Place, index: int) -> None:
        watch, image = self._watches[place], self._image_of(place[0])
        if image is not None and self._is_to_be_led(image, index):
            watch.leaderless.add(index)
        elif image is None:
            watch.leaderless.clear()
        else:
            watch.leaderless.discard(index)
        if not watch.leaderless:
            self._end(place)

    def _look(self) -> None:
        self._timer = None
        self._look_at_brokers()
        if self._watches:
            self._timer = self._loop.call_later(LOOK_S, self._look)

    def _look_at_brokers(self) -> None:
        """Look at every place again if others are lost, or up, than when they were looked at."""
        lost, live = self._find_lost(), self._find_live()
        if (lost, live) == (self._lost, self._live):
            return
        self._lost, self._live = lost, live
        for place, watch in list(self._watches.items()):
            image = self._image_of(place[0])
            watch.leaderless = set() if image is None else self._leaderless(image, place[1])
            if not watch.leaderless:
                self._end(place)

    def _image_of(self, topic_id: bytes) -> TopicImage | None:
        return self._cluster_group.state.topic_by_id(topic_id)

    def _leaderless(self, image: TopicImage, index: int) -> set[int]:
        every = range(image.partition_count) if index == ALL_PARTITIONS else (index,)
        return {i for i in every if self._is_to_be_led(image, i)}

    def _is_to_be_led(self, image: TopicImage, index: int) -> bool:
        """Whether its leader is lost, and an in-sync replica is there to be elected."""
        state = self._seats.state_of(image, index) if self._lost else None
        if state is None or state.leader not in self._lost:
            return False
        return any(each in self._live and each != state.leader for each, _ in state.isr)

    # -- telling

    def _end(self, place: Place) -> None:
        """The place is led; who waits for no other one is told."""
        for waiting in self._watches.pop(place).waiting:
            places = self._places[waiting]
            places.discard(place)
            if not places:
                del self._places[waiting]
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
