"""How fast does a node open its partitions after a clean stop, and compact a log?

Files lie in pytest's temporary folder, in the page cache; a compacted segment is synced before its
swap.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.core.batch_encoder import encode_values
from headrace.core.clock import SystemClock
from headrace.core.log_config import LogConfig
from headrace.core.log_manager import LogManager
from headrace.core.worker import InlineWorker

TOPIC_ID = bytes(range(16))
RECORDS_PER_BATCH = 500


def started_manager(folder: Path) -> LogManager:
    manager = LogManager([folder], clock=SystemClock(), worker=InlineWorker())
    manager.start()
    return manager


@pytest.mark.sizes(50, 1000)
def test_open_partitions_after_a_clean_stop(
    benchmark: Any, report: Callable[..., None], size: int, tmp_path: Path
) -> None:
    manager = started_manager(tmp_path)
    for partition in range(size):
        log = manager.get_or_create_log("clicks", partition, topic_id=TOPIC_ID, config=LogConfig())
        log.append_as_leader(
            encode_values([b"x"], timestamp=SystemClock().now_ms()), leader_epoch=0
        )
    opened = [manager]

    def close() -> None:
        opened.pop().close()

    benchmark.pedantic(lambda: opened.append(started_manager(tmp_path)), setup=close, rounds=3)
    ends = [log.log_end_offset for log in opened[0].logs()]
    opened[0].close()
    assert ends == [1] * size
    report(bytes(ends), records=size)


@pytest.mark.sizes(20_000, 1_000_000)
def test_compact_a_log_in_which_four_of_five_records_are_old(
    benchmark: Any, report: Callable[..., None], size: int, tmp_path: Path
) -> None:
    manager = started_manager(tmp_path)
    config = LogConfig(
        cleanup_policy=frozenset(("compact",)),
        segment_bytes=32 << 20,
        min_cleanable_dirty_ratio=0.0,
    )
    log = manager.get_or_create_log("table", 0, topic_id=TOPIC_ID, config=config)
    now_ms = SystemClock().now_ms()
    for first in range(0, size, RECORDS_PER_BATCH):
        numbers = range(first, first + RECORDS_PER_BATCH)
        keys = [b"key-%d" % (number * 7919 % (size // 5)) for number in numbers]
        records = encode_values([b"x" * 80] * len(keys), keys, timestamp=now_ms)
        log.append_as_leader(records, leader_epoch=0)
    log.roll()
    log.update_high_watermark(log.log_end_offset)
    size_bytes = log.size_bytes
    benchmark.pedantic(manager.compact, rounds=1)
    kept = log.size_bytes
    manager.close()
    assert kept < size_bytes / 3
    report(b"%d" % kept, records=size, size_bytes=size_bytes)
