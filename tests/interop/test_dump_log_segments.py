"""Kafka's own DumpLogSegments reads folders that our engine wrote, and finds nothing wrong."""

import re
import threading
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from headrace.core.log_config import LogConfig
from tests.support.batches import make_batch
from tests.support.broker_process import BrokerProcess
from tests.support.kafka_java import run_kafka_class
from tests.support.log_folders import (
    BATCH_COUNT,
    CODECS,
    RECORD_COUNT,
    TOPIC_ID,
    open_manager,
    write_sample_folder,
)

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.timeout(600)]

DUMP = "org.apache.kafka.tools.DumpLogSegments"
# What the tool prints when a file is not as it must be.
COMPLAINTS = re.compile(r"(?i)mismatch|isvalid: false|corrupt|exception|not in order|out of order")


def dump(files: list[Path], *flags: str) -> str:
    assert files
    printed = run_kafka_class(DUMP, "--files", ",".join(map(str, files)), *flags)
    assert not COMPLAINTS.search(printed), printed
    return printed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_folder(tmp_path_factory.mktemp("dump"))


def test_every_record_is_read_deeply(folder: Path) -> None:
    printed = dump(sorted(folder.glob("*.log")), "--deep-iteration", "--print-data-log")
    offsets = [int(each) for each in re.findall(r"^\| offset: (\d+)", printed, re.MULTILINE)]
    assert offsets == list(range(RECORD_COUNT))
    assert printed.count("isvalid: true") == BATCH_COUNT
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


def test_committed_offsets_are_decoded(tmp_path: Path) -> None:
    settings = {"offsets.topic.num.partitions": "1"}
    with BrokerProcess(tmp_path, topics={"clicks": 2}, config=settings) as broker:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "readers",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        joined = threading.Event()
        consumer.subscribe(["clicks"], on_assign=lambda *_: joined.set())
        for _ in range(1200):
            consumer.poll(0.1)
            if joined.is_set():
                break
        assert joined.is_set()
        consumer.commit(offsets=[TopicPartition("clicks", 1, 42)], asynchronous=False)
        consumer.close()
        broker.terminate()
    (folder,) = (tmp_path / "data").glob("__consumer_offsets-0")
    printed = dump(sorted(folder.glob("*.log")), "--offsets-decoder")
    assert '"group":"readers","topic":"clicks","partition":1' in printed, printed
    assert '"offset":42' in printed, printed
    assert '"protocolType":"consumer"' in printed, printed
    dump(sorted(folder.glob("*.index")), "--verify-index-only")
