"""What topic settings do in a running broker: read back with kcat, and looked up on disk."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

confluent_kafka = pytest.importorskip("confluent_kafka")
confluent_admin = pytest.importorskip("confluent_kafka.admin")

from headrace.core.log_dump import dump_file  # noqa: E402
from tests.support.broker_process import BrokerProcess  # noqa: E402
from tests.support.requests import Requester  # noqa: E402
from tests.support.stored_records import list_offset  # noqa: E402

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

CODECS = ["gzip", "snappy", "lz4", "zstd"]
DEADLINE_S = 60
LOOK_EVERY_S = 0.05
EARLIEST = -2
SHORT_INTERVALS = {
    "log.retention.check.interval.ms": "100",
    "log.cleaner.backoff.ms": "100",
    "log.segment.delete.delay.ms": "0",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    if shutil.which("kcat") is None:
        pytest.skip("needs kcat on the PATH")
    with BrokerProcess(tmp_path_factory.mktemp("settings"), config=SHORT_INTERVALS) as running:
        yield running


def create(broker: BrokerProcess, topic: str, **configs: str) -> None:
    with Requester(broker.port) as requester:
        named = {name.replace("_", "."): value for name, value in configs.items()}
        requester.create_topics({topic: 1}, named)


def produce(
    broker: BrokerProcess, topic: str, records: list[tuple[str, str | None]], **settings: str
) -> None:
    """One batch of key and value, acknowledged: the flush ends the linger at once."""
    named = {name.replace("_", "."): value for name, value in settings.items()}
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": broker.bootstrap, "linger.ms": 5000, **named}
    )
    failed: list[object] = []
    for key, value in records:
        producer.produce(
            topic,
            key=key,
            value=value,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(DEADLINE_S) == 0
    assert not failed


def kcat(broker: BrokerProcess, topic: str, form: str) -> list[str]:
    """Every record of the topic as kcat shows it."""
    command = ["kcat", "-b", broker.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q"]
    done = subprocess.run(
        [*command, "-Z", "-f", form + "\n"],
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    return done.stdout.splitlines()


def wait_until(holds: Callable[[], bool]) -> None:
    """Looks again and again: retention and compaction tell nobody when they have run."""
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        pause.wait(LOOK_EVERY_S)


def segments(broker: BrokerProcess, topic: str) -> list[Path]:
    return sorted((broker.data / f"{topic}-0").glob("*.log"))


def earliest(broker: BrokerProcess, topic: str) -> int:
    with Requester(broker.port) as requester:
        return list_offset(requester, topic, EARLIEST)


def stored_codecs(broker: BrokerProcess, topic: str) -> set[str]:
    (segment,) = segments(broker, topic)
    return {entry["compression"] for entry in dump_file(segment) if entry["kind"] == "batch"}


@pytest.mark.parametrize("wanted", CODECS)
@pytest.mark.parametrize("sent", ["none", "gzip", "zstd"])
def test_a_topic_recompresses_what_arrives(broker: BrokerProcess, wanted: str, sent: str) -> None:
    topic = f"recompressed-{wanted}-{sent}"
    create(broker, topic, compression_type=wanted)
    records: list[tuple[str, str | None]] = [(f"k{n}", "value" * 20) for n in range(50)]
    produce(broker, topic, records, compression_type=sent)
    assert stored_codecs(broker, topic) == {wanted}
    assert kcat(broker, topic, "%o %k %s") == [
        f"{n} {key} {value}" for n, (key, value) in enumerate(records)
    ]


def test_a_topic_may_undo_every_compression(broker: BrokerProcess) -> None:
    create(broker, "plain", compression_type="uncompressed")
    for codec in CODECS:
        produce(broker, "plain", [("key", codec * 100)], compression_type=codec)
    assert stored_codecs(broker, "plain") == {"none"}
    assert kcat(broker, "plain", "%s") == [codec * 100 for codec in CODECS]


def test_log_append_time_replaces_the_clients_time(broker: BrokerProcess) -> None:
    create(broker, "stamped", message_timestamp_type="LogAppendTime")
    before_ms = time.time_ns() // 1_000_000
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap})
    told: list[tuple[int, int]] = []
    producer.produce(
        "stamped", b"v", timestamp=1000, on_delivery=lambda _, m: told.append(m.timestamp())
    )
    assert producer.flush(DEADLINE_S) == 0
    after_ms = time.time_ns() // 1_000_000
    ((kind, stamped_ms),) = told
    assert kind == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME
    assert before_ms <= stamped_ms <= after_ms
    assert kcat(broker, "stamped", "%T") == [str(stamped_ms)]


def test_a_timestamp_from_the_future_is_refused(broker: BrokerProcess) -> None:
    create(broker, "punctual", message_timestamp_after_max_ms="1000")
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap})
    errors: list[object] = []
    producer.produce(
        "punctual",
        b"v",
        timestamp=time.time_ns() // 1_000_000 + 3_600_000,
        on_delivery=lambda error, _: errors.append(error and error.code()),
    )
    producer.flush(DEADLINE_S)
    assert errors == [confluent_kafka.KafkaError.INVALID_TIMESTAMP]


def test_retention_by_size_deletes_files(broker: BrokerProcess) -> None:
    create(broker, "bounded", segment_bytes="1048576", retention_bytes="1048576")
    for _ in range(8):
        produce(broker, "bounded", [("k", "x" * 500_000)])
    # Four segments of two records: one alone is below the limit, so the last two stay.
    wait_until(lambda: earliest(broker, "bounded") == 4)
    wait_until(lambda: [int(path.stem) for path in segments(broker, "bounded")] == [4, 6])
    assert kcat(broker, "bounded", "%o") == ["4", "5", "6", "7"]


def test_retention_by_time_deletes_the_active_segment_too(broker: BrokerProcess) -> None:
    create(broker, "fleeting", retention_ms="200")
    produce(broker, "fleeting", [("k", "v")] * 3)
    wait_until(lambda: earliest(broker, "fleeting") == 3)
    wait_until(lambda: [path.name for path in segments(broker, "fleeting")] == [f"{3:020}.log"])
    produce(broker, "fleeting", [("k", "later")])
    wait_until(lambda: earliest(broker, "fleeting") == 4)


def test_deleted_records_leave_no_file_of_whole_segments(broker: BrokerProcess) -> None:
    create(broker, "shortened", segment_bytes="1048576")
    for _ in range(6):
        produce(broker, "shortened", [("k", "x" * 600_000)])
    assert len(segments(broker, "shortened")) > 3
    admin = confluent_admin.AdminClient({"bootstrap.servers": broker.bootstrap})
    (answer,) = admin.delete_records([confluent_kafka.TopicPartition("shortened", 0, 5)]).values()
    assert answer.result(DEADLINE_S).low_watermark == 5
    wait_until(lambda: int(segments(broker, "shortened")[0].stem) >= 4)
    assert kcat(broker, "shortened", "%o") == ["5"]


def test_a_compacted_topic_keeps_the_last_value_of_each_key(broker: BrokerProcess) -> None:
    create(
        broker,
        "latest",
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        delete_retention_ms="100",
    )
    for number in range(5):
        produce(broker, "latest", [(key, f"{key}-{number}") for key in "abc"])
    produce(broker, "latest", [("a", None)])
    roll(broker, "latest")
    survivors = ["13 b=b-4", "14 c=c-4"]
    wait_until(lambda: kcat(broker, "latest", "%o %k=%s")[:3] == [*survivors, "15 a=NULL"])

    def tombstone_is_gone() -> bool:
        roll(broker, "latest")  # only what is dirty is cleaned, and only then a tombstone goes
        return kcat(broker, "latest", "%o %k=%s")[:2] == survivors and not any(
            line.endswith("a=NULL") for line in kcat(broker, "latest", "%o %k=%s")
        )

    wait_until(tombstone_is_gone)
    broker.restart()
    assert kcat(broker, "latest", "%o %k=%s")[:2] == survivors


def roll(broker: BrokerProcess, topic: str) -> None:
    """Another batch, in a segment of its own: segment.ms has to pass before it."""
    threading.Event().wait(0.15)
    produce(broker, topic, [("end", "x")])


def test_compact_and_delete_does_both(broker: BrokerProcess) -> None:
    create(
        broker,
        "both",
        cleanup_policy="compact,delete",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        retention_ms="3600000",
    )
    produce(broker, "both", [("a", "old")])
    produce(broker, "both", [("a", "new")])
    roll(broker, "both")
    wait_until(lambda: kcat(broker, "both", "%k=%s") == ["a=new", "end=x"])
    shorten_retention(broker, "both")
    wait_until(lambda: earliest(broker, "both") == 3)
    assert kcat(broker, "both", "%s") == []


def shorten_retention(broker: BrokerProcess, topic: str) -> None:
    """What is there now is too old at once."""
    admin = confluent_admin.AdminClient({"bootstrap.servers": broker.bootstrap})
    entry = confluent_admin.ConfigEntry(
        "retention.ms", "1", incremental_operation=confluent_admin.AlterConfigOpType.SET
    )
    change = confluent_admin.ConfigResource(
        confluent_admin.ResourceType.TOPIC, topic, incremental_configs=[entry]
    )
    admin.incremental_alter_configs([change])[change].result(DEADLINE_S)
