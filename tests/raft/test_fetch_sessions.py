"""Which fetch session makes room for another once there are as many as may be."""

import pytest

from headrace.raft.errors import FetchSessionIdNotFoundError
from headrace.raft.fetch_sessions import MIN_EVICTION_MS, FetchSession, FetchSessions
from tests.support.manual_clock import ManualClock

FOLLOWER = (2, 20)


class Cache:
    """Room for two."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sessions = FetchSessions(self.clock, max_sessions=2)

    def open(self, count: int, *, follower: tuple[int, int] | None = None) -> FetchSession:
        session = self.sessions.open_session(
            partition_count=count, uses_topic_ids=True, follower=follower
        )
        for index in range(count):
            session.partition(("t", index))
        return session

    def holds(self, session: FetchSession) -> bool:
        try:
            self.sessions.next_of(session.session_id, session.epoch)
        except FetchSessionIdNotFoundError:
            return False
        return True


@pytest.fixture
def cache() -> Cache:
    return Cache()


def test_a_session_that_has_no_room_has_no_id_and_ends_with_its_answer(cache: Cache) -> None:
    kept = [cache.open(5), cache.open(1)]
    late = cache.open(9)
    assert late.session_id == 0
    assert all(map(cache.holds, kept))
    assert len(cache.sessions) == 2


class Waiting:
    """A request that waits for news of a session."""

    def __init__(self, session: FetchSession) -> None:
        self.session = session
        self.had: list[int] = []

    def wake(self) -> None:
        """Not asked for here."""

    def answer_now(self) -> None:
        self.had.append(len(self.session.partitions))
        self.session.waiting = None


def test_who_waits_in_a_session_that_ends_is_answered_with_what_it_had(cache: Cache) -> None:
    session = cache.open(3)
    waiting = session.waiting = Waiting(session)
    cache.clock.advance(MIN_EVICTION_MS + 1)
    cache.open(1)
    cache.open(1)
    assert not cache.holds(session)
    assert waiting.had == [3], "it would hear of no news any more"


def test_who_was_idle_for_long_makes_room_whatever_its_size(cache: Cache) -> None:
    idle, busy = cache.open(100), cache.open(1)
    cache.clock.advance(MIN_EVICTION_MS)
    assert cache.holds(busy)
    assert cache.open(1).session_id == 0, "not yet: two minutes must be over"
    cache.clock.advance(1)
    late = cache.open(1)
    assert late.session_id > 0
    assert not cache.holds(idle)
    assert not idle.partitions, "and it watches nothing any more"
    assert cache.holds(busy)
    assert cache.holds(late)


def test_an_old_session_gives_way_to_one_of_more_partitions_only(cache: Cache) -> None:
    small, large = cache.open(1), cache.open(5)
    for _ in range(2):  # both are in use
        cache.clock.advance(MIN_EVICTION_MS - 1)
        assert cache.holds(small)
        assert cache.holds(large)
    assert cache.open(1).session_id == 0, "no more partitions than the smallest"
    late = cache.open(2)
    assert late.session_id > 0
    assert not cache.holds(small)
    assert cache.holds(large)
    assert cache.open(9).session_id > 0, "the large one is old too"
    assert not cache.holds(large)
    assert cache.holds(late)


def test_a_follower_takes_a_clients_place_at_once_and_no_client_takes_its(cache: Cache) -> None:
    first, second = cache.open(5), cache.open(3)
    follower = cache.open(1, follower=FOLLOWER)
    assert follower.session_id > 0
    assert not cache.holds(second), "the smaller client"
    another = cache.open(1, follower=(3, 30))
    assert not cache.holds(first)
    for _ in range(2):
        cache.clock.advance(MIN_EVICTION_MS - 1)
        assert cache.holds(follower)
        assert cache.holds(another)
    assert cache.open(1000).session_id == 0
    assert cache.open(1, follower=(4, 40)).session_id == 0
    assert cache.open(2, follower=(4, 40)).session_id > 0


def test_a_closed_session_leaves_room(cache: Cache) -> None:
    first = cache.open(1)
    cache.open(1)
    cache.sessions.close_session(first.session_id)
    assert cache.open(1).session_id > 0
    cache.sessions.close_all()
    assert len(cache.sessions) == 0


def test_a_follower_that_begins_anew_leaves_no_session_behind(cache: Cache) -> None:
    other = cache.open(1, follower=(3, 30))
    first = cache.open(5, follower=FOLLOWER)
    waiting = Waiting(first)
    first.waiting = waiting
    again = cache.open(5, follower=FOLLOWER)
    assert waiting.had == [5], "its request is answered, whoever still listens"
    assert not cache.holds(first)
    restarted = cache.open(5, follower=(2, 21))
    assert [cache.holds(each) for each in (again, restarted, other)] == [False, True, True]
    assert len(cache.sessions) == 2
