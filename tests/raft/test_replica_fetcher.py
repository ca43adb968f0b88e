"""A follower's fetch loop, with a leader and a timetable that the test plays."""

from pathlib import Path
from typing import Any

import pytest

from headrace.core.config_def import LONG_MAX
from headrace.core.errors import CorruptRecordError, KafkaStorageError
from headrace.core.log_config import LogConfig
from headrace.raft.catch_up_pace import MEMORY_ANSWERS, PAUSE_MS
from headrace.raft.replica_fetcher import FetcherSettings, ReplicaFetchers
from headrace.raft.replication_quota import ReplicationQuota
from tests.support.manual_clock import ManualClock
from tests.support.manual_scheduler import ManualScheduler

LEADER = 1


class FakeLog:
    def __init__(self) -> None:
        self.log_end_offset = self.log_start_offset = 0
        self.latest_epoch = 3
        self.config = LogConfig()


class FakePartition:
    """What the loop asks of a follower; each record is one byte."""

    def __init__(self, index: int) -> None:
        self.topic_id, self.index = b"t" * 16, index
        self.is_follower, self.leader_id, self.leader_epoch = True, LEADER, 3
        self.log = FakeLog()
        self.told: list[Any] = []
        self.error: Exception | None = None
        self.must_flush_before_report = False
        self.flushing: list[Any] = []
        self.flush_failures: list[Any] = []
        self.room_error: Exception | None = None
        self.missing_room_bytes: list[int] = []  # what each part of making room leaves

    @property
    def log_end_offset(self) -> int:
        return self.log.log_end_offset

    @property
    def log_start_offset(self) -> int:
        return self.log.log_start_offset

    def __repr__(self) -> str:
        return f"<Partition clicks-{self.index} epoch={self.leader_epoch}>"

    def append_from_leader(self, records: Any, **said: int) -> None:
        if self.error is not None:
            raise self.error
        self.log.log_start_offset = max(self.log.log_start_offset, said["log_start_offset"])
        self.log.log_end_offset += len(records)
        self.told.append((bytes(records), said["high_watermark"]))

    def make_room(self, size_bytes: int) -> int:
        if self.room_error is not None:
            raise self.room_error
        return self.missing_room_bytes.pop(0) if self.missing_room_bytes else 0

    def truncate_for(self, diverging: tuple[int, int]) -> None:
        self.log.log_end_offset = diverging[1]

    def begin_at(self, start: int, end: int) -> None:
        self.log.log_end_offset = start

    def flush_before_report(self, on_flushed: Any, on_error: Any) -> None:
        self.flushing.append(on_flushed)
        self.flush_failures.append(on_error)


class Stage:
    def __init__(self) -> None:
        clock = self.clock = ManualClock()
        self.scheduler = ManualScheduler(clock)
        self.quota = ReplicationQuota(broker_id=2, is_leaders=False, clock=clock)
        self.requests: list[tuple[dict[str, Any], Any]] = []
        self.fetchers = ReplicaFetchers(
            broker_id=2,
            incarnation=20,
            send_fetch=lambda leader, body, on_answer: self.requests.append((body, on_answer)),
            schedule=self.scheduler.schedule,
            quota=self.quota,
            settings=FetcherSettings(backoff_ms=1000),
        )

    def follow(self, count: int) -> list[Any]:
        partitions = [FakePartition(index) for index in range(count)]
        for each in partitions:
            self.fetchers.role_changed(each)  # type: ignore[arg-type]
        self.scheduler.advance(0)
        return partitions

    def begin(self, count: int) -> list[Any]:
        """Follow that many partitions within session 77."""
        partitions = self.follow(count)
        self.answer()
        return partitions

    def answer(self, *partitions: dict[str, Any], session_id: int = 77, error: int = 0) -> None:
        """Answer the oldest request."""
        _, on_answer = self.requests.pop(0)
        topics = [{"topic_id": b"t" * 16, "partitions": list(partitions)}]
        on_answer({"error_code": error, "session_id": session_id, "responses": topics})

    @property
    def asked(self) -> dict[int, int]:
        """Partition -> offset in the newest request."""
        topics = self.requests[-1][0]["topics"]
        return {each["partition"]: each["fetch_offset"] for t in topics for each in t["partitions"]}

    @property
    def forgotten(self) -> list[int]:
        topics = self.requests[-1][0]["forgotten_topics_data"]
        return [each for topic in topics for each in topic["partitions"]]


def told(index: int, records: bytes = b"", **fields: Any) -> dict[str, Any]:
    return {
        "partition_index": index,
        "error_code": 0,
        "high_watermark": 0,
        "last_stable_offset": 0,
        "log_start_offset": 0,
        "records": records,
        "diverging_epoch": {"epoch": -1, "end_offset": -1},
        **fields,
    }


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_first_request_names_all_and_does_not_wait(stage: Stage) -> None:
    stage.follow(3)
    ((request, _),) = stage.requests
    assert stage.asked == {0: 0, 1: 0, 2: 0}
    assert (request["session_id"], request["session_epoch"], request["max_wait_ms"]) == (0, 0, 0)
    assert request["replica_state"] == {"replica_id": 2, "replica_epoch": 20}


def test_later_requests_name_what_changed(stage: Stage) -> None:
    stage.begin(3)
    (request, _) = stage.requests[-1]
    assert (request["session_id"], request["session_epoch"], stage.asked) == (77, 1, {})
    assert request["max_wait_ms"] == 500
    stage.answer(told(1, b"ab"))
    assert stage.asked == {1: 2}
    assert stage.requests[-1][0]["session_epoch"] == 2
    assert len(stage.requests) == 1


def test_one_in_sync_that_is_asked_for_alone_may_bring_four_shares(stage: Stage) -> None:
    def most_bytes() -> dict[int, int]:
        (topic,) = stage.requests[-1][0]["topics"]
        return {each["partition"]: each["partition_max_bytes"] for each in topic["partitions"]}

    stage.begin(2)
    stage.answer(told(0, b"ab", high_watermark=9))
    assert most_bytes() == {0: 1 << 20}, "it lags, and what it brings has to be made room for"
    stage.answer(told(0, b"c" * 8, high_watermark=9))
    assert most_bytes() == {0: 4 << 20}
    stage.answer(told(0, b"ab", high_watermark=9), told(1, b"ab"))
    assert most_bytes() == {0: 1 << 20, 1: 1 << 20}, "both have news"
    stage.answer(told(1, b"ab"))
    assert most_bytes() == {1: 4 << 20}


def test_a_partition_that_comes_later_is_asked_for_at_once(stage: Stage) -> None:
    stage.begin(2)
    late = FakePartition(5)
    stage.fetchers.role_changed(late)  # type: ignore[arg-type]
    stage.scheduler.advance(0)
    assert len(stage.requests) == 2, "beside the one that waits"
    assert stage.asked == {5: 0}


def test_an_answer_to_an_earlier_request_is_not_stored_twice(stage: Stage) -> None:
    (first, _) = stage.begin(2)
    late = FakePartition(5)
    stage.fetchers.role_changed(late)  # type: ignore[arg-type]
    stage.scheduler.advance(0)
    stage.answer(told(0, b"ab"))
    stage.answer(told(0, b"ab"), told(5, b"x"))
    assert first.told == [(b"ab", 0)]
    assert late.told == [(b"x", 0)]


def test_logs_that_part_are_cut_and_asked_again(stage: Stage) -> None:
    (follower,) = stage.begin(1)
    stage.answer(told(0, b"abcd"))
    stage.answer(told(0, diverging_epoch={"epoch": 2, "end_offset": 3}))
    assert stage.asked == {0: 3}
    stage.answer(told(0, error_code=1, log_start_offset=9, last_stable_offset=12))
    assert stage.asked == {0: 9}
    assert follower.told == [(b"abcd", 0)]


def test_a_refused_partition_is_left_out_for_longer_each_time(stage: Stage) -> None:
    stage.begin(2)
    for wait_ms in (20, 40, 80):
        stage.answer(told(0, error_code=6))
        assert (stage.asked, stage.forgotten) == ({}, [0])
        stage.scheduler.advance(wait_ms - 1)
        assert len(stage.requests) == 1
        stage.scheduler.advance(1)
        assert stage.asked == {0: 0}
        stage.answer()


@pytest.mark.parametrize("error", [CorruptRecordError("a torn batch")])
def test_what_cannot_be_stored_is_asked_again_later(stage: Stage, error: Exception) -> None:
    (follower, _) = stage.begin(2)
    follower.error = error
    stage.answer(told(0, b"ab"))
    assert stage.forgotten == [0]
    follower.error = None
    stage.scheduler.advance(20)
    assert stage.asked == {0: 0}


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), AssertionError("a bug")])
def test_one_that_fails_is_left_out_until_its_next_epoch_and_the_others_go_on(
    stage: Stage, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    failing, other = stage.begin(2)
    failing.error = error
    stage.answer(told(0, b"ab"), told(1, b"xy"))
    assert other.told == [(b"xy", 0)]
    assert (stage.asked, stage.forgotten) == ({1: 2}, [0])
    (said,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "<Partition clicks-0 epoch=3> is marked as failed" in said.getMessage()
    assert said.exc_info is not None
    assert said.exc_info[1] is error
    stage.scheduler.advance(60_000)
    stage.answer(told(1, b"z"))
    assert stage.asked == {1: 3}, "nothing but another epoch brings it back"
    failing.error = None
    failing.leader_epoch = 4
    stage.fetchers.role_changed(failing)
    stage.scheduler.advance(0)
    assert stage.asked == {0: 0}
    stage.answer()
    stage.answer(told(0, b"ab"))
    assert failing.told == [(b"ab", 0)]


def test_one_that_failed_is_not_in_a_new_session_either(stage: Stage) -> None:
    failing, _ = stage.begin(2)
    failing.error = RuntimeError("a bug")
    stage.answer(told(0, b"ab"))
    _, on_answer = stage.requests.pop(0)
    on_answer(ConnectionResetError("gone"))
    stage.scheduler.advance(20)
    assert (stage.requests[-1][0]["session_id"], stage.asked) == (0, {1: 0})
    failing.is_follower = False
    stage.fetchers.role_changed(failing)
    stage.scheduler.advance(0)
    assert len(stage.requests) == 1, "it was not there to be forgotten"


def test_one_that_cannot_say_where_it_ends_keeps_no_other_from_being_asked_for(
    stage: Stage,
) -> None:
    broken, _ = stage.begin(2)
    broken.append_from_leader = lambda records, **said: setattr(broken, "log", None)
    stage.answer(told(0, b"ab"), told(1, b"xy", high_watermark=9))
    assert stage.asked == {1: 2}
    stage.scheduler.advance(60_000)
    assert stage.asked == {1: 2}


def test_one_whose_room_cannot_be_made_for_an_unforeseen_reason_fails(stage: Stage) -> None:
    failing, _ = stage.begin(2)
    failing.room_error = RuntimeError("a bug")
    stage.answer(behind(0, b"abcd"))
    stage.scheduler.advance(0)
    stage.answer(behind(0, b"abcd"), told(1, b"x"))
    assert failing.told == [(b"abcd", 1000)]
    assert (stage.asked, stage.forgotten) == ({1: 1}, [0])


def test_a_lost_connection_ends_the_session(stage: Stage) -> None:
    stage.begin(2)
    _, on_answer = stage.requests.pop(0)
    on_answer(ConnectionResetError("gone"))
    assert stage.requests == []
    stage.scheduler.advance(20)
    assert stage.requests[-1][0]["session_id"] == 0
    assert stage.asked == {0: 0, 1: 0}
    _, on_answer = stage.requests.pop(0)
    on_answer(ConnectionResetError("gone again"))
    stage.fetchers.leader_is_reachable(LEADER)
    stage.scheduler.advance(0)
    assert len(stage.requests) == 1, "no need to wait longer"


def test_an_error_of_the_session_begins_another(stage: Stage) -> None:
    stage.begin(1)
    stage.answer(session_id=0, error=70)
    stage.scheduler.advance(20)
    assert (stage.requests[-1][0]["session_epoch"], stage.asked) == (0, {0: 0})


def test_without_a_session_every_request_names_all_and_waits(stage: Stage) -> None:
    stage.follow(2)
    stage.answer(session_id=0)
    assert stage.asked == {0: 0, 1: 0}
    assert stage.requests[-1][0]["max_wait_ms"] == 500


def test_who_follows_another_leader_is_forgotten_here(stage: Stage) -> None:
    first, second = stage.begin(2)
    first.leader_id, first.leader_epoch = 3, 4
    stage.fetchers.role_changed(first)
    stage.scheduler.advance(0)
    assert len(stage.requests) == 3
    by_partition = [
        [each["partition"] for topic in body["topics"] for each in topic["partitions"]]
        for body, _ in stage.requests
    ]
    assert by_partition == [[], [], [0]] or by_partition == [[], [0], []]
    second.is_follower = False
    stage.fetchers.role_changed(second)
    stage.answer(told(0, b"late"), told(1, b"late"))
    assert first.told == second.told == []


def test_what_must_be_on_disk_first_is_reported_afterwards(stage: Stage) -> None:
    (follower,) = stage.begin(1)
    follower.must_flush_before_report = True
    stage.answer(told(0, b"ab"))
    assert stage.requests == [], "nothing else is followed"
    (on_flushed,) = follower.flushing
    on_flushed()
    assert stage.asked == {0: 2}


def test_where_no_sync_can_begin_it_is_tried_again(stage: Stage) -> None:
    (follower,) = stage.begin(1)
    follower.must_flush_before_report = True
    stage.answer(told(0, b"ab"))
    follower.flush_failures.pop()(KafkaStorageError(Path("clicks-0"), "Too many open files"))
    assert len(follower.flushing) == 1
    stage.scheduler.advance(20)
    assert (stage.requests, len(follower.flushing)) == ([], 2)
    follower.flushing.pop()()
    assert stage.asked == {0: 2}


def test_a_closed_loop_stores_nothing(stage: Stage) -> None:
    (follower,) = stage.begin(1)
    stage.fetchers.close()
    stage.answer(told(0, b"ab"))
    assert follower.told == []
    assert stage.requests == []


def test_the_epoch_of_a_session_stays_in_range(stage: Stage) -> None:
    stage.begin(1)
    loop = stage.fetchers._loops[LEADER]
    loop._session_epoch = 0x7FFFFFFF
    stage.answer()
    stage.answer()
    assert 0 < stage.requests[-1][0]["session_epoch"] < LONG_MAX
    assert loop._session_epoch <= 0x7FFFFFFF


def throttle(stage: Stage, partitions: list[Any], rate: int) -> None:
    for each in partitions:
        each.log.config = LogConfig(follower_replication_throttled_replicas=("0:2", "1:3"))
    stage.quota.bytes_per_s = rate


def test_a_throttled_partition_is_left_out_while_its_quota_is_used_up(stage: Stage) -> None:
    throttle(stage, stage.begin(2), 10)
    stage.answer(told(0, b"r" * 100, high_watermark=1000), told(1, b"r" * 100, high_watermark=1000))
    assert stage.asked == {1: 100}, "what 1:3 says is about another broker's copy"
    assert stage.forgotten == [0]
    stage.scheduler.advance(9_990)  # 100 bytes at 10 a second
    assert stage.asked == {1: 100}
    stage.scheduler.advance(1_000)
    assert stage.asked == {0: 100}


def test_a_new_partition_is_not_asked_for_while_the_quota_is_used_up(stage: Stage) -> None:
    throttle(stage, stage.begin(1), 10)
    stage.answer(told(0, b"r" * 100, high_watermark=1000))
    assert not stage.requests, "nothing else is followed"
    late = FakePartition(0)
    late.log.config = LogConfig(follower_replication_throttled_replicas=("*",))
    late.topic_id = b"u" * 16
    stage.fetchers.role_changed(late)  # type: ignore[arg-type]
    stage.scheduler.advance(0)
    assert not stage.requests
    stage.scheduler.advance(11_000)
    assert stage.asked == {0: 0}


def test_what_is_in_sync_is_asked_for_whatever_the_quota_says(stage: Stage) -> None:
    throttle(stage, stage.begin(1), 10)
    stage.answer(told(0, b"r" * 100, high_watermark=100))
    assert stage.asked == {0: 100}
    stage.answer(told(0, b"r" * 100, high_watermark=300))
    assert not stage.requests, "those bytes counted, and now it lags"


def test_a_quota_that_is_lifted_lets_go_on_within_a_back_off(stage: Stage) -> None:
    throttle(stage, stage.begin(1), 1)
    stage.answer(told(0, b"r" * 1000, high_watermark=5000))
    stage.quota.bytes_per_s = 1 << 40
    assert not stage.requests
    stage.scheduler.advance(1000)
    assert stage.asked == {0: 1000}


def test_a_log_that_begins_elsewhere_is_told_to_the_leader_at_once(stage: Stage) -> None:
    stage.begin(2)
    stage.answer(told(1, b"abc", high_watermark=3), told(0, b"x", high_watermark=1))
    stage.answer(told(1, high_watermark=3, log_start_offset=2))
    assert stage.asked == {1: 3}
    (topic,) = stage.requests[-1][0]["topics"]
    assert topic["partitions"][0]["log_start_offset"] == 2


def test_what_an_earlier_life_left_is_on_disk_before_it_is_reported(stage: Stage) -> None:
    follower = FakePartition(0)
    follower.must_flush_before_report = True
    stage.fetchers.role_changed(follower)  # type: ignore[arg-type]
    stage.scheduler.advance(0)
    assert stage.requests == []
    (on_flushed,) = follower.flushing
    on_flushed()
    assert stage.asked == {0: 0}


def behind(index: int, records: bytes) -> dict[str, Any]:
    """An answer to one that catches up: much more is committed."""
    return told(index, records, high_watermark=1000)


def test_one_that_catches_up_is_asked_for_once_there_is_room_for_its_next_answer(
    stage: Stage,
) -> None:
    """And the others in the meantime, so that who waits for them waits for no large append."""
    slow, _ = stage.begin(2)
    slow.missing_room_bytes = [7, 6, 5, 4, 2, 1]
    stage.answer(behind(0, b"abcd"))
    assert stage.asked == {0: 4}, "the first time there is nothing to go by"
    stage.scheduler.turn()
    stage.answer(behind(0, b"abcd"))
    assert (stage.asked, stage.forgotten) == ({}, [0])
    stage.answer(told(1, b"x"))
    assert stage.asked == {1: 1}
    stage.scheduler.turn()
    stage.scheduler.turn()
    assert slow.missing_room_bytes == [4, 2, 1], "a part in a turn"
    assert stage.asked == {1: 1}
    stage.scheduler.turn()
    assert (stage.asked, len(stage.requests)) == ({0: 8}, 2), "room for one answer"
    stage.scheduler.advance(0)
    assert slow.missing_room_bytes == [], "and for the one behind it, while that is under way"
    assert len(stage.requests) == 2
    assert stage.scheduler.pending == 0


def test_one_in_sync_gets_no_room(stage: Stage) -> None:
    (follower,) = stage.begin(1)
    follower.missing_room_bytes = [1]
    stage.answer(told(0, b"abcd", high_watermark=4))
    stage.scheduler.advance(0)
    assert follower.missing_room_bytes == [1]
    assert stage.asked == {0: 4}


def test_where_no_room_can_be_made_it_is_asked_for_later(stage: Stage) -> None:
    (follower,) = stage.begin(1)
    follower.room_error = KafkaStorageError(Path("clicks-0"), "No space left on device")
    stage.answer(behind(0, b"abcd"))
    stage.answer(behind(0, b"abcd"))
    assert not stage.requests
    stage.scheduler.advance(0)
    assert not stage.requests
    follower.room_error = None
    stage.scheduler.advance(20)
    assert stage.asked == {0: 8}


def test_one_that_is_followed_no_more_gets_no_room(stage: Stage) -> None:
    (follower,) = stage.begin(1)
    follower.missing_room_bytes = [5, 5, 5, 5]
    stage.answer(behind(0, b"abcd"))
    follower.is_follower, follower.leader_id = False, None
    stage.fetchers.role_changed(follower)
    stage.scheduler.advance(0)
    assert follower.missing_room_bytes == [5, 5, 5, 5]


def test_one_that_catches_up_pauses_while_others_have_news(stage: Stage) -> None:
    stage.begin(2)
    stage.answer(told(1, b"x", high_watermark=1))
    stage.answer(behind(0, b"abcd"))
    assert (stage.asked, stage.forgotten) == ({}, [0])
    stage.scheduler.advance(PAUSE_MS - 1)
    assert len(stage.requests) == 1, "the others are asked for meanwhile"
    stage.scheduler.advance(1)
    assert (stage.asked, len(stage.requests)) == ({0: 4}, 2)


def test_one_that_catches_up_alone_does_not_pause_for_ever(stage: Stage) -> None:
    stage.begin(2)
    stage.answer(told(1, b"x", high_watermark=1))
    for _ in range(MEMORY_ANSWERS):
        stage.answer(behind(0, b"abcd"))
        assert stage.asked == {}
        stage.scheduler.advance(PAUSE_MS)
        stage.answer()  # the request without it, which the one that names it has answered
    stage.answer(behind(0, b"abcd"))
    assert stage.asked == {0: 4 * MEMORY_ANSWERS + 4}


def test_a_pause_lasts_until_there_is_room(stage: Stage) -> None:
    slow, _ = stage.begin(2)
    slow.missing_room_bytes = [5, 0]
    stage.answer(told(1, b"x", high_watermark=1))
    stage.answer(behind(0, b"abcd"))
    stage.scheduler.turn()
    assert slow.missing_room_bytes == [0], "it is made in the pause"
    stage.scheduler.advance(0)
    stage.scheduler.advance(PAUSE_MS)
    assert stage.asked == {0: 4}
    slow.missing_room_bytes = [5] * (PAUSE_MS + 3) + [0]
    stage.answer()
    stage.answer(behind(0, b"abcd"))
    for _ in range(PAUSE_MS):
        stage.scheduler.turn()
        stage.clock.advance(1)
    stage.scheduler.turn()
    assert stage.asked == {}
    stage.scheduler.advance(0)
    assert (stage.asked, slow.missing_room_bytes) == ({0: 8}, [])
