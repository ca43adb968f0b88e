"""Apache Kafka's own command-line tools, unmodified, against a real broker process."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.kafka_java import JVM_FLAGS, kafka_classpath, run_kafka_class

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.timeout(600)]

TOOLS = "org.apache.kafka.tools"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    kafka_classpath()
    with BrokerProcess(tmp_path_factory.mktemp("java")) as running:
        yield running


def tool(name: str, broker: BrokerProcess, *arguments: str) -> str:
    """The output of one of Kafka's tools that must succeed."""
    return run_kafka_class(f"{TOOLS}.{name}", "--bootstrap-server", broker.bootstrap, *arguments)


def produce(broker: BrokerProcess, topic: str, text: str, *arguments: str) -> None:
    """What is typed into Kafka's console producer."""
    command = ["java", *JVM_FLAGS, "-cp", kafka_classpath(), f"{TOOLS}.ConsoleProducer"]
    options = ["--bootstrap-server", broker.bootstrap, "--topic", topic, *arguments]
    done = subprocess.run(
        command + options, input=text, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr + done.stdout


def consume(broker: BrokerProcess, topic: str, count: int, *arguments: str) -> list[str]:
    limit = ["--topic", topic, "--max-messages", str(count), "--timeout-ms", "60000"]
    return tool("consumer.ConsoleConsumer", broker, *limit, *arguments).splitlines()


def test_kafka_topics_creates_describes_grows_and_deletes(broker: BrokerProcess) -> None:
    create = ["--create", "--topic", "java-topics", "--partitions", "2"]
    made = tool("TopicCommand", broker, *create, "--config", "retention.ms=60000")
    assert "Created topic java-topics." in made
    described = tool("TopicCommand", broker, "--describe", "--topic", "java-topics")
    assert "PartitionCount: 2\tReplicationFactor: 1" in described
    assert "retention.ms=60000" in described
    assert "Partition: 1\tLeader: 1\tReplicas: 1\tIsr: 1" in described
    tool("TopicCommand", broker, "--alter", "--topic", "java-topics", "--partitions", "3")
    assert "PartitionCount: 3" in tool(
        "TopicCommand", broker, "--describe", "--topic", "java-topics"
    )
    tool("TopicCommand", broker, "--delete", "--topic", "java-topics")
    assert "java-topics" not in tool("TopicCommand", broker, "--list").split()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_the_console_round_trips_every_codec(broker: BrokerProcess, codec: str) -> None:
    topic = f"java-console-{codec}"
    reader = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"]
    reader += ["--reader-property", "null.marker=NULL"]
    produce(broker, topic, "k1:v1\nk2:NULL\n", *reader, "--compression-codec", codec)
    shown = ["--from-beginning", "--formatter-property", "print.key=true"]
    assert consume(broker, topic, 2, *shown) == ["k1\tv1", "k2\tnull"]


def test_kafka_consumer_groups_follows_a_group(broker: BrokerProcess) -> None:
    produce(broker, "java-groups", "a\nb\nc\n")
    group = ["--from-beginning", "--group", "java-group"]
    assert consume(broker, "java-groups", 3, *group) == ["a", "b", "c"]
    command = "consumer.group.ConsumerGroupCommand"
    assert "java-group" in tool(command, broker, "--list").split()
    row = tool(command, broker, "--describe", "--group", "java-group").splitlines()[-1].split()
    assert row[:6] == ["java-group", "java-groups", "0", "3", "3", "0"]
    reset = ["--reset-offsets", "--group", "java-group", "--topic", "java-groups"]
    tool(command, broker, *reset, "--to-earliest", "--execute")
    row = tool(command, broker, "--describe", "--group", "java-group").splitlines()[-1].split()
    assert row[3:6] == ["0", "3", "3"]
    deleted = tool(command, broker, "--delete", "--group", "java-group")
    assert "Deletion of requested consumer groups ('java-group') was successful." in deleted


def test_offsets_records_and_log_dirs_are_told(broker: BrokerProcess, tmp_path: Path) -> None:
    produce(broker, "java-records", "".join(f"{number}\n" for number in range(10)))
    assert tool("GetOffsetShell", broker, "--topic", "java-records") == "java-records:0:10\n"
    wanted = {"partitions": [{"topic": "java-records", "partition": 0, "offset": 4}], "version": 1}
    path = tmp_path / "offsets.json"
    path.write_text(json.dumps(wanted))
    said = tool("DeleteRecordsCommand", broker, "--offset-json-file", str(path))
    assert "partition: java-records-0\tlow_watermark: 4" in said
    earliest = tool("GetOffsetShell", broker, "--topic", "java-records", "--time", "earliest")
    assert earliest == "java-records:0:4\n"
    said = tool("LogDirsCommand", broker, "--describe", "--topic-list", "java-records")
    document = json.loads(said.splitlines()[-1])
    (folder,) = document["brokers"][0]["logDirs"]
    assert [row["partition"] for row in folder["partitions"]] == ["java-records-0"]
    assert folder["partitions"][0]["size"] > 0


def test_versions_and_cluster_id_are_told(broker: BrokerProcess) -> None:
    said = tool("BrokerApiVersionsCommand", broker)
    assert "Produce(0): 0 to 11" in said
    cluster = run_kafka_class(
        f"{TOOLS}.ClusterTool", "cluster-id", "--bootstrap-server", broker.bootstrap
    )
    assert cluster.startswith("Cluster ID: ")


def test_performance_tools_run_idempotently_and_in_a_group(broker: BrokerProcess) -> None:
    load = ["--topic", "java-perf", "--num-records", "5000", "--record-size", "100"]
    settings = ["--throughput", "-1", "--producer-props", f"bootstrap.servers={broker.bootstrap}"]
    said = run_kafka_class(f"{TOOLS}.ProducerPerformance", *load, *settings, "acks=all")
    assert "5000 records sent" in said
    said = tool("ConsumerPerformance", broker, "--topic", "java-perf", "--messages", "5000")
    assert said.splitlines()[-1].split(", ")[4] == "5000"
