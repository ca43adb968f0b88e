"""Apache Kafka itself writes a folder and stops; our broker goes on with it."""

import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from headrace.api.takeover import METADATA_FOLDER
from tests.support.broker_process import BrokerProcess, free_port
from tests.support.kafka_java import JVM_FLAGS, kafka_classpath, run_kafka_class

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

CLUSTER_ID = "q1Sh-9_ISia_zwGINzRvyQ"
NODE_ID = 5
START_DEADLINE_S = 240
DEADLINE_S = 60
RECORD_COUNT = 500


class KafkaProcess:
    """One KRaft node of Apache Kafka on free ports, until `stop`."""

    def __init__(self, folder: Path) -> None:
        port, controller_port = free_port(), free_port()
        self.data = folder / "data"
        self.bootstrap = f"127.0.0.1:{port}"
        self._file = folder / "kafka.properties"
        self._file.write_text(
            f"""
            process.roles=broker,controller
            node.id={NODE_ID}
            controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
            listeners=PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller_port}
            controller.listener.names=CONTROLLER
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
            log.dirs={self.data}
            offsets.topic.replication.factor=1
            offsets.topic.num.partitions=2
            transaction.state.log.replication.factor=1
            transaction.state.log.min.isr=1
            transaction.state.log.num.partitions=2
            group.initial.rebalance.delay.ms=0
            """
        )
        options = ("--standalone", "-t", CLUSTER_ID, "-c", str(self._file))
        run_kafka_class("kafka.tools.StorageTool", "format", *options)
        command = ["java", *JVM_FLAGS, "-cp", kafka_classpath(), "kafka.Kafka", str(self._file)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(START_DEADLINE_S)


def fill(bootstrap: str) -> None:
    """Topics, settings, records, a committed transaction, a group's offset, and a credential."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.list_topics(timeout=START_DEADLINE_S)
    made = [
        NewTopic("clicks", 2, 1, config={"retention.ms": "86400000"}),
        NewTopic("state", 1, 1, config={"cleanup.policy": "compact"}),
        NewTopic("gone", 1, 1),
    ]
    for future in admin.create_topics(made).values():
        future.result(DEADLINE_S)
    admin.create_partitions([NewPartitions("clicks", 3)])["clicks"].result(DEADLINE_S)
    admin.delete_topics(["gone"])["gone"].result(DEADLINE_S)
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    wanted = UserScramCredentialUpsertion("alice", credential, b"secret")
    admin.alter_user_scram_credentials([wanted])["alice"].result(DEADLINE_S)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for number in range(RECORD_COUNT):
        producer.produce("clicks", str(number).encode(), key=b"k", partition=number % 3)
    assert producer.flush(DEADLINE_S) == 0
    transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": "tx"})
    transactional.init_transactions(DEADLINE_S)
    transactional.begin_transaction()
    transactional.produce("state", b"committed", key=b"k")
    transactional.commit_transaction(DEADLINE_S)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "readers"})
    consumer.commit(offsets=[TopicPartition("clicks", 1, 42)], asynchronous=False)
    consumer.close()


@pytest.fixture(scope="module")
def kafka_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kafka = KafkaProcess(tmp_path_factory.mktemp("kafka"))
    try:
        fill(kafka.bootstrap)
    finally:
        kafka.stop()
    return kafka.data


def values(bootstrap: str, topic: str, partition: int, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"})
    consumer.assign([TopicPartition(topic, partition, 0)])
    try:
        messages = consumer.consume(count, DEADLINE_S)
    finally:
        consumer.close()
    assert [message.error() for message in messages] == [None] * count
    return [message.value() for message in messages]


def test_folder_of_a_running_kafka_that_was_stopped_is_served(
    kafka_data: Path, tmp_path: Path
) -> None:
    metadata_log = kafka_data / METADATA_FOLDER
    before = {path.name: path.read_bytes() for path in metadata_log.iterdir()}
    settings = {"node.id": str(NODE_ID), "log.dirs": str(kafka_data)}
    with BrokerProcess(tmp_path, config=settings) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        metadata = admin.list_topics(timeout=DEADLINE_S)
        assert metadata.cluster_id == CLUSTER_ID
        assert "gone" not in metadata.topics
        for partition in range(3):
            numbers = range(partition, RECORD_COUNT, 3)
            found = values(broker.bootstrap, "clicks", partition, len(numbers))
            assert found == [str(number).encode() for number in numbers]
        assert values(broker.bootstrap, "state", 0, 1) == [b"committed"]
        asked = ConfigResource(ResourceType.TOPIC, "state")
        configs = admin.describe_configs([asked])[asked].result(DEADLINE_S)
        assert configs["cleanup.policy"].value == "compact"
        reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "readers"})
        (committed,) = reader.committed([TopicPartition("clicks", 1)], timeout=DEADLINE_S)
        assert committed.offset == 42
        reader.close()
        producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
        producer.produce("clicks", b"ours", partition=0)
        assert producer.flush(DEADLINE_S) == 0
        assert broker.terminate() == 0
        log = broker.log.read_text()
    assert "1 records of SCRAM credentials are not taken over" in log
    assert "__transaction_state is kept, but not used" in log
    assert {path.name: path.read_bytes() for path in metadata_log.iterdir()} == before
