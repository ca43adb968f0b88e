"""A folder goes from a Python program to a broker and back; any client reads what was embedded."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

import headrace
from headrace.core.errors import LogDirLockedError
from tests.support.broker_process import BrokerProcess

DEADLINE_S = 60


def consume(bootstrap: str, topic: str, partition: int, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "check.crcs": True})
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        values: list[bytes | None] = []
        while len(values) < count:
            messages = consumer.consume(count - len(values), timeout=DEADLINE_S)
            assert messages, f"{len(values)} of {count} arrived"
            assert all(message.error() is None for message in messages)
            values += [message.value() for message in messages]
    finally:
        consumer.close()
    return values


def test_a_broker_serves_what_was_embedded_and_the_other_way_round(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path)
    rows = np.arange(4000, dtype=np.int64)
    values = [b"value-%d" % number for number in range(2000)]
    with headrace.open(broker.data) as store:
        clicks = store.topic("clicks", partitions=2, config={"retention.ms": 86_400_000})
        clicks.append_many(values, partition=0)
        clicks.append_array(rows, partition=1)
        clicks.append(b"keyed", key=b"user-1", headers={"h": b"1"}, partition=0)
        cluster_id = store.cluster_id
    with broker:
        assert consume(broker.bootstrap, "clicks", 0, 2001) == [*values, b"keyed"]
        served = consume(broker.bootstrap, "clicks", 1, 4000)
        assert b"".join(value or b"" for value in served) == rows.tobytes()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        assert admin.list_topics(timeout=DEADLINE_S).cluster_id == cluster_id
        resource = ConfigResource(ConfigResource.Type.TOPIC, "clicks")
        configs = admin.describe_configs([resource])[resource].result(DEADLINE_S)
        assert configs["retention.ms"].value == "86400000"
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for _ in range(100):
            producer.produce("clicks", b"served", partition=0)
        assert producer.flush(DEADLINE_S) == 0
        with pytest.raises(LogDirLockedError, match=str(broker.pid)):
            headrace.open(broker.data)
        assert broker.terminate() == 0
        with headrace.open(broker.data) as store:
            tail = store["clicks"].partition(0).read(2001)
            assert tail.to_pylist() == [b"served"] * 100
            assert store["clicks"].config == {"retention.ms": "86400000"}
            store["clicks"].append(b"embedded again", partition=0)
        broker.start()
        assert consume(broker.bootstrap, "clicks", 0, 2102)[-1] == b"embedded again"


def test_a_key_is_found_where_librdkafka_puts_it(tmp_path: Path) -> None:
    """librdkafka's murmur2 partitioner is Kafka's default; so is ours."""
    broker = BrokerProcess(tmp_path)
    keys = [b"user-%d" % number for number in range(50)]
    with headrace.open(broker.data) as store:
        clicks = store.topic("clicks", partitions=5)
        for key in keys:
            clicks.append(b"embedded", key=key)
    with broker:
        producer = Producer(
            {"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random"}
        )
        for key in keys:
            producer.produce("clicks", b"served", key=key)
        assert producer.flush(DEADLINE_S) == 0
        assert broker.terminate() == 0
        with headrace.open(broker.data) as store:
            for partition in store["clicks"].partitions:
                view = partition.read(0)
                both: dict[bytes | None, set[bytes | None]] = {}
                for key, value in zip(view.keys.to_pylist(), view.to_pylist(), strict=True):
                    both.setdefault(key, set()).add(value)
                assert all(found == {b"embedded", b"served"} for found in both.values()), both


def test_what_was_embedded_by_a_killed_program_is_served(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path)
    program = (
        "import headrace, os\n"
        f"store = headrace.open({str(broker.data)!r})\n"
        "store.topic('clicks').append_many([b'%d' % n for n in range(1000)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    with broker:
        assert consume(broker.bootstrap, "clicks", 0, 1000) == [b"%d" % n for n in range(1000)]
