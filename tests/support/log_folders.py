"""Folders of `log.dirs` with every kind of file in them, as the engine writes them."""

from pathlib import Path

from headrace.core.batch_builder import BatchBuilder
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.log_manager import LogManager
from headrace.core.worker import InlineWorker
from tests.support.batches import FIRST_TIMESTAMP_MS, make_batch
from tests.support.manual_clock import ManualClock

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TOPIC_ID = bytes(range(16))

# What `fill_log` writes.
BATCH_COUNT = 44
RECORD_COUNT = 204


def open_manager(folder: Path) -> LogManager:
    """A started manager of one folder."""
    manager = LogManager([folder], clock=ManualClock(), worker=InlineWorker())
    manager.start()
    return manager


def write_sample_folder(root: Path) -> Path:
    """`root` as a folder of log.dirs that was closed cleanly; the folder of `clicks-0` in it."""
    manager = open_manager(root)
    config = LogConfig(index_interval_bytes=100, segment_bytes=4000)
    log = manager.get_or_create_log("clicks", 0, topic_id=TOPIC_ID, config=config)
    fill_log(log)
    assert len(log.segments) >= 3
    manager.close()
    return root / "clicks-0"


def fill_log(log: Log) -> None:
    """Batches of every codec by an idempotent producer (7), then two transactions: one aborted
    (8) and one committed (9)."""
    for number in range(40):
        pairs = [(b"key-%d" % each, b"value " * 10) for each in range(5)]
        log.append_as_leader(
            make_batch(
                pairs,
                compression=CODECS[number % 5],
                first_timestamp=FIRST_TIMESTAMP_MS + 10 * number,
                producer_id=7,
                producer_epoch=0,
                base_sequence=5 * number,
            ),
            leader_epoch=number // 20,
        )
    for producer_id, marker in ((8, 0), (9, 1)):
        log.append_as_leader(
            make_batch(
                [(b"a", b"b")],
                producer_id=producer_id,
                producer_epoch=3,
                base_sequence=0,
                is_transactional=True,
            ),
            leader_epoch=2,
        )
        log.append_as_leader(make_marker(producer_id, marker), leader_epoch=2, origin="coordinator")
    log.update_high_watermark(log.log_end_offset)


def make_marker(producer_id: int, marker: int) -> bytes:
    """The control batch that ends a transaction: `marker` 0 aborts, 1 commits."""
    builder = BatchBuilder(
        producer_id=producer_id, producer_epoch=3, is_transactional=True, is_control=True
    )
    builder.append_record(
        timestamp=FIRST_TIMESTAMP_MS + 1000,
        key=b"\0\0" + marker.to_bytes(2, "big"),
        value=b"\0\0\0\0\0\5",
    )
    return bytes(builder.build())
