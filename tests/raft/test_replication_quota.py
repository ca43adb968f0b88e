"""The quota of throttled replicas: which are, and how many bytes go by in a time."""

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.core.log_config import LogConfig
from headrace.raft.replication_quota import UNLIMITED, ReplicationQuota
from tests.support.manual_clock import ManualClock


def replica(index: int = 0, *, leader: str = "", follower: str = "") -> Any:
    config = LogConfig(
        leader_replication_throttled_replicas=tuple(filter(None, leader.split(","))),
        follower_replication_throttled_replicas=tuple(filter(None, follower.split(","))),
    )
    return SimpleNamespace(index=index, log=SimpleNamespace(config=config))


def make_quota(
    rate: int = UNLIMITED, *, clock: ManualClock | None = None, is_leaders: bool = True
) -> ReplicationQuota:
    quota = ReplicationQuota(broker_id=2, is_leaders=is_leaders, clock=clock or ManualClock())
    quota.bytes_per_s = rate
    return quota


@pytest.mark.parametrize(
    ("listed", "index", "is_throttled"),
    [
        ("", 0, False),
        ("*", 7, True),
        ("0:2", 0, True),
        ("0:1,3:2", 3, True),
        ("0:1,3:2", 0, False),
        ("0:22,12:2", 2, False),
    ],
)
def test_a_replica_is_throttled_where_its_topic_lists_it(
    listed: str, index: int, is_throttled: bool
) -> None:
    assert make_quota(1).is_throttled(replica(index, leader=listed)) is is_throttled
    assert not make_quota(1).is_throttled(replica(index, follower=listed))
    of_follower = make_quota(1, is_leaders=False)
    assert of_follower.is_throttled(replica(index, follower=listed)) is is_throttled


def test_without_a_rate_nothing_is_throttled_nor_without_a_log() -> None:
    assert not make_quota().is_throttled(replica(leader="*"))
    closed = replica(leader="*")
    closed.log = None
    assert not make_quota(1).is_throttled(closed)


@pytest.mark.parametrize(("rate", "answer_bytes"), [(1000, 100), (100_000, 250_000), (1000, 9000)])
def test_bytes_over_a_long_time_are_the_rate(rate: int, answer_bytes: int) -> None:
    clock = ManualClock()
    quota = make_quota(rate, clock=clock)
    throttled = replica(leader="*")
    sent = 0
    for _ in range(6000):
        if not quota.holds_back(throttled):
            quota.record(answer_bytes)
            sent += answer_bytes
        clock.advance(20)
    assert sent == pytest.approx(120 * rate, rel=0.12, abs=answer_bytes)


def test_it_says_when_it_is_free_again() -> None:
    clock = ManualClock()
    quota = make_quota(100, clock=clock)
    assert quota.free_in_ms() == 0
    for step, size in enumerate((50, 400, 30, 7)):
        clock.advance(700 * step)
        quota.record(size)
    while wait_ms := quota.free_in_ms():
        clock.advance(wait_ms - 1)
        assert quota.free_in_ms() == 1
        clock.advance(1)
    quota.record(1)
    assert quota.free_in_ms() > 0, "it was not free for long"


def test_a_burst_is_forgotten_with_its_window() -> None:
    clock = ManualClock()
    quota = make_quota(1, clock=clock)
    quota.record(10**9)
    clock.advance(5_000)
    quota.record(3)
    assert quota.free_in_ms() == 6_000
    clock.advance(6_000)
    assert quota.free_in_ms() == 0


def test_a_rate_of_zero_waits_a_whole_window() -> None:
    clock = ManualClock()
    quota = make_quota(0, clock=clock)
    assert quota.free_in_ms() == 0, "as in Kafka: nothing is not above nothing"
    quota.record(1)
    assert quota.free_in_ms() == 11_000
