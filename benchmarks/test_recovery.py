"""How fast does a log come back after a crash: every batch read, CRCs compared, indexes rebuilt?

The files lie in the page cache; a cold start waits for the disk besides.
"""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.core.batch_encoder import encode_values
from headrace.core.clock import SystemClock
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker


def opened(folder: Path) -> Log:
    return Log.open(
        folder,
        topic="clicks",
        partition=0,
        config=LogConfig(segment_bytes=64 << 20),
        clock=SystemClock(),
        worker=InlineWorker(),
        is_clean=False,
    )


@pytest.mark.parametrize(("records", "value_bytes"), [(1, 100), (1000, 100), (100, 10_000)])
@pytest.mark.sizes(1 << 20, 256 << 20)
def test_recover_a_log(
    benchmark: Any, report: Report, tmp_path: Path, size: int, records: int, value_bytes: int
) -> None:
    log = opened(tmp_path / "clicks-0")
    batch = bytes(encode_values([bytes(value_bytes)] * records, timestamp=SystemClock().now_ms()))
    count = max(1, size // len(batch))
    for _ in range(count):
        log.append_as_leader(batch, leader_epoch=1)
    logs = [log]

    def crash() -> None:
        logs.pop().close(clean=False)

    benchmark.pedantic(lambda: logs.append(opened(log.path)), setup=crash, rounds=3)
    assert logs[0].log_end_offset == count * records
    report(batch, records=count * records, size_bytes=count * len(batch))
    logs[0].close(clean=False)
