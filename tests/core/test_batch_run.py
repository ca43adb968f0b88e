"""A follower's log, appended in runs, against the leader's, appended batch by batch."""

import random
from pathlib import Path
from typing import Any

import pytest

from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import CorruptRecordError
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import iter_batches
from headrace.core.worker import InlineWorker
from tests.support.manual_clock import ManualClock

NOW_MS = 1_700_000_000_000
CRC_START = 21
SMALL = LogConfig(segment_bytes=4096, index_interval_bytes=200, segment_index_bytes=120)


def open_log(path: Path, config: LogConfig = SMALL) -> Log:
    return Log.open(
        path,
        topic="clicks",
        partition=0,
        config=config,
        clock=ManualClock(now_ms=NOW_MS),
        worker=InlineWorker(),
        is_clean=False,
    )


def make_batch(chance: random.Random, number: int) -> bytearray:
    fields: dict[str, Any] = {}
    if chance.random() < 0.4:
        fields = {"producer_id": 7, "producer_epoch": number, "base_sequence": 0}
    builder = BatchBuilder(**fields)
    for _ in range(chance.randrange(1, 4)):
        builder.append_record(
            timestamp=NOW_MS + number * chance.choice((1, 1000)),
            key=None,
            value=chance.randbytes(chance.choice((1, 30, 300, 1200))),
        )
    return builder.build()


def fill(leader: Log, chance: random.Random, count: int) -> None:
    epoch = leader.latest_epoch
    for number in range(leader.log_end_offset, leader.log_end_offset + count):
        epoch += chance.random() < 0.1 or epoch < 0
        leader.append_as_leader(make_batch(chance, number), leader_epoch=epoch)


def follow(leader: Log, follower: Log, chance: random.Random) -> None:
    while follower.log_end_offset < leader.log_end_offset:
        follower.append_as_follower(
            leader.read_records(
                start_offset=follower.log_end_offset,
                max_bytes=chance.choice((1, 1000, 100_000)),
                upper_bound_offset=leader.log_end_offset,
            )
        )


def files_of(folder: Path) -> dict[str, bytes]:
    """What a stopped log left on disk, but for the producers' snapshots at its end."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".snapshot"}


@pytest.mark.parametrize("seed", range(30))
def test_the_follower_has_the_same_files_byte_for_byte(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    leader, follower = open_log(tmp_path / "leader"), open_log(tmp_path / "follower")
    for _ in range(3):
        fill(leader, chance, 25)
        follow(leader, follower, chance)
    assert len(leader.segments) > 3
    assert [each.base_offset for each in follower.segments] == [
        each.base_offset for each in leader.segments
    ]
    for one, two in zip(leader.active_producers(), follower.active_producers(), strict=True):
        assert (one.producer_id, one.producer_epoch, one.last_offset) == (
            two.producer_id,
            two.producer_epoch,
            two.last_offset,
        )
    for log in (leader, follower):
        log.close()
    assert files_of(tmp_path / "follower") == files_of(tmp_path / "leader")


@pytest.mark.parametrize("seed", range(10))
def test_what_stands_before_a_damaged_byte_is_stored_and_nothing_else(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    leader, follower = open_log(tmp_path / "leader"), open_log(tmp_path / "follower")
    fill(leader, chance, 6)
    read = leader.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=1 << 20)
    damaged = bytearray(read)
    chosen = chance.choice(list(iter_batches(read)))
    start = bytes(read).index(bytes(chosen.view()))
    damaged[start + chance.randrange(CRC_START, chosen.size_bytes)] ^= 1 << chance.randrange(8)
    with pytest.raises(CorruptRecordError):
        follower.append_as_follower(damaged)
    assert follower.log_end_offset == chosen.base_offset
    stored = follower.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=1 << 20)
    assert bytes(stored) == bytes(read)[:start]
    for log in (leader, follower):
        log.close()
    again = open_log(tmp_path / "follower")
    assert again.log_end_offset == follower.log_end_offset
    again.close()


def test_batches_that_stand_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    leader, follower = open_log(tmp_path / "leader"), open_log(tmp_path / "follower")
    fill(leader, random.Random(1), 2)
    read = bytes(leader.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=1 << 20))
    first_bytes = 12 + int.from_bytes(read[8:12], "big")
    with pytest.raises(CorruptRecordError):
        follower.append_as_follower(read[first_bytes:] + read[:first_bytes])
    for log in (leader, follower):
        log.close()


def test_nothing_is_no_batch(tmp_path: Path) -> None:
    follower = open_log(tmp_path)
    with pytest.raises(CorruptRecordError):
        follower.append_as_follower(b"")
    follower.close()
