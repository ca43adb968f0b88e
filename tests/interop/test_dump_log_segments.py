"""Kafka's own DumpLogSegments reads folders that our engine wrote, and finds nothing wrong."""

import re
from pathlib import Path

import pytest

from headrace.core.batch_builder import BatchBuilder
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.log_manager import LogManager
from headrace.core.worker import InlineWorker
from tests.support.batches import FIRST_TIMESTAMP_MS, make_batch
from tests.support.kafka_java import run_kafka_class
from tests.support.manual_clock import ManualClock

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.timeout(300)]

DUMP = "org.apache.kafka.tools.DumpLogSegments"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TOPIC_ID = bytes(range(16))
# What the tool prints when a file is not as it must be.
COMPLAINTS = re.compile(r"(?i)mismatch|isvalid: false|corrupt|exception|not in order|out of order")


def open_manager(folder: Path) -> LogManager:
    manager = LogManager([folder], clock=ManualClock(), worker=InlineWorker())
    manager.start()
    return manager


def new_log(manager: LogManager, topic: str, **settings: int) -> Log:
    config = LogConfig(index_interval_bytes=100, **settings)  # type: ignore[arg-type]
    return manager.get_or_create_log(topic, 0, topic_id=TOPIC_ID, config=config)


def fill_log(log: Log) -> int:
    """Batches of every codec, an idempotent producer and two transactions; how many records."""
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
    return 40 * 5 + 2 * 2


def make_marker(producer_id: int, marker: int) -> bytes:
    builder = BatchBuilder(
        producer_id=producer_id, producer_epoch=3, is_transactional=True, is_control=True
    )
    builder.append_record(
        timestamp=FIRST_TIMESTAMP_MS + 1000,
        key=b"\0\0" + marker.to_bytes(2, "big"),
        value=b"\0\0\0\0\0\5",
    )
    return bytes(builder.build())


def dump(files: list[Path], *flags: str) -> str:
    assert files
    printed = run_kafka_class(DUMP, "--files", ",".join(map(str, files)), *flags)
    assert not COMPLAINTS.search(printed), printed
    return printed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dump")
    manager = open_manager(root)
    log = new_log(manager, "clicks", segment_bytes=4000)
    fill_log(log)
    assert len(log.segments) >= 3
    manager.close()
    return root / "clicks-0"


def test_every_record_is_read_deeply(folder: Path) -> None:
    printed = dump(sorted(folder.glob("*.log")), "--deep-iteration", "--print-data-log")
    offsets = [int(each) for each in re.findall(r"^\| offset: (\d+)", printed, re.MULTILINE)]
    assert offsets == list(range(204))
    assert printed.count("isvalid: true") == 44
    assert {each.lower() for each in re.findall(r"compresscodec: (\w+)", printed)} == set(CODECS)
    assert "endTxnMarker: ABORT" in printed
    assert "endTxnMarker: COMMIT" in printed


def test_offset_and_time_indexes_agree_with_the_segments(folder: Path) -> None:
    indexes = sorted(folder.glob("*.index"))
    assert any(each.stat().st_size > 0 for each in indexes)
    dump(indexes, "--verify-index-only")
    dump(sorted(folder.glob("*.timeindex")), "--verify-index-only")
    printed = dump(indexes)
    assert len(re.findall(r"offset: \d+ position: \d+", printed)) >= 3


def test_indexes_pass_the_check_of_a_starting_broker(folder: Path) -> None:
    printed = dump(sorted(folder.glob("*.index")), "--index-sanity-check")
    assert "passed sanity check" in printed


def test_producer_snapshots_are_understood(folder: Path) -> None:
    newest = max(folder.glob("*.snapshot"))
    printed = dump([newest])
    assert re.search(r"producerId: 7 producerEpoch: 0 .*lastSequence: 199", printed), printed
    assert re.search(r"producerId: 8 producerEpoch: 3 coordinatorEpoch: 5", printed), printed


def test_aborted_transactions_are_understood(folder: Path) -> None:
    printed = dump(sorted(folder.glob("*.txnindex")))
    assert "producerId: 8" in printed
    assert "producerId: 9" not in printed


def test_compacted_segments_are_understood(tmp_path: Path) -> None:
    manager = open_manager(tmp_path)
    config = LogConfig(
        index_interval_bytes=100,
        segment_bytes=2000,
        cleanup_policy=frozenset(("compact",)),
        min_cleanable_dirty_ratio=0.01,
    )
    log = manager.get_or_create_log("table", 0, topic_id=TOPIC_ID, config=config)
    for number in range(60):
        pairs = [(b"key-%d" % (number % 7), b"value-%d" % number), (b"gone", None)]
        log.append_as_leader(make_batch(pairs, compression=CODECS[number % 5]), leader_epoch=0)
    log.update_high_watermark(log.log_end_offset)
    size_before = log.size_bytes
    assert manager.compact()
    assert log.size_bytes < size_before / 2
    manager.close()
    folder = tmp_path / "table-0"
    printed = dump(sorted(folder.glob("*.log")), "--deep-iteration", "--print-data-log")
    offsets = [int(each) for each in re.findall(r"^\| offset: (\d+)", printed, re.MULTILINE)]
    assert offsets == sorted(offsets)
    assert len(offsets) < 60
    assert offsets[-1] == 119
    dump(sorted(folder.glob("*.index")), "--verify-index-only")
    dump(sorted(folder.glob("*.timeindex")), "--verify-index-only")
