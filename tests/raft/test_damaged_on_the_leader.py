"""A byte of the leader's log changes on its disk before a follower has fetched it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.core.errors import CorruptRecordError, LogCorruptedError
from tests.support.replica_stage import ReplicaStage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[ReplicaStage]:
    staged = ReplicaStage(tmp_path)
    yield staged
    staged.close()


def flip_byte_of(stage: ReplicaStage, needle: bytes) -> None:
    path = Path(stage.leader.log.active_segment.path_of(".log"))
    with path.open("r+b") as file:
        position = file.read().index(needle)
        file.seek(position)
        file.write(bytes([needle[0] ^ 1]))


def test_a_follower_stores_no_batch_that_changed_and_the_leader_says_so_when_asked_again(
    stage: ReplicaStage, caplog: pytest.LogCaptureFixture
) -> None:
    for value in ("first", "second", "third"):
        stage.append(1, value)
    flip_byte_of(stage, b"second")
    with pytest.raises(CorruptRecordError, match="no intact record batch"):
        stage.fetch(2)
    assert stage.brokers[2].values() == ["first"]  # what stood before it
    with pytest.raises(CorruptRecordError):
        stage.fetch(2)
    assert not caplog.records
    for _ in range(3):
        with pytest.raises(LogCorruptedError):
            stage.fetch(2)
    assert stage.brokers[2].values() == ["first"]
    (said,) = caplog.records
    assert "is corrupt at byte" in said.getMessage()
    assert "offsets 1 to 1 are not served" in said.getMessage()


def test_nobody_commits_or_consumes_a_batch_that_changed(stage: ReplicaStage) -> None:
    stage.append(1, "first")
    flip_byte_of(stage, b"first")
    for follower in (2, 3):
        with pytest.raises(CorruptRecordError):
            stage.fetch(follower)
    assert stage.leader.partition.high_watermark == 0
    assert stage.said == []


def test_one_who_asks_again_because_an_answer_was_lost_is_given_the_same(
    stage: ReplicaStage,
) -> None:
    stage.append(1, "first")
    lost = stage.leader.partition.fetch_for_follower(
        broker_id=2,
        incarnation=stage.brokers[2].incarnation,
        fetch_offset=0,
        log_start_offset=0,
        last_fetched_epoch=-1,
        current_leader_epoch=0,
        max_bytes=1 << 20,
        now_ms=stage.clock.monotonic_ms(),
    )
    assert len(lost.records) > 0
    assert stage.fetch(2) == "gets first"
