"""The introduction that every Kafka tutorial prints, run as it is printed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.api.cli.__main__ import main as headrace
from headrace.api.cli.processes import process_holding, wait_for_exit
from headrace.api.cli.server import stop_process
from tests.support.broker_process import free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

WAIT_S = 120


class Shell:
    """Runs lines of a tutorial with KAFKA_HOME and PATH set; 9092 is read as a free port."""

    def __init__(self, home: Path, port: int) -> None:
        self._port = str(port)
        self.environment = os.environ | {
            "KAFKA_HOME": str(home),
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
            "LOG_DIR": str(home / "logs"),
        }

    def start(self, line: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            line.replace("9092", self._port),
            shell=True,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, line: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
        process = self.start(line)
        output, errors = process.communicate(typed, timeout=WAIT_S)
        return subprocess.CompletedProcess(line, process.returncode, output, errors)

    def expect(self, line: str, typed: str = "") -> str:
        """The output of a line that must succeed."""
        done = self.run(line, typed)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A written kafka-home whose settings name a free port and a folder of this test."""
    home = tmp_path / "kafka"
    assert headrace(["kafka-home", str(home)]) == 0
    port = free_port()
    settings = home / "config" / "server.properties"
    text = settings.read_text().replace("9092", str(port))
    settings.write_text(text.replace("/tmp/kafka-logs", str(tmp_path / "kafka-logs")))
    shell = Shell(home, port)
    yield shell
    pid = process_holding(tmp_path / "kafka-logs")
    if pid is not None:
        wait_for_exit(pid, lambda: os.kill(pid, 9), WAIT_S)


def read_lines(process: "subprocess.Popen[str]", count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


def test_the_tutorial_runs_as_printed(shell: Shell, tmp_path: Path) -> None:
    shell.expect("zookeeper-server-start.sh -daemon $KAFKA_HOME/config/zookeeper.properties")
    shell.expect("kafka-server-start.sh -daemon $KAFKA_HOME/config/server.properties")
    created = shell.expect(
        "kafka-topics.sh --create --bootstrap-server localhost:9092 "
        "--replication-factor 1 --partitions 1 --topic cts_topic"
    )
    assert created.splitlines()[-1] == "Created topic cts_topic."
    assert created.startswith("WARNING: Due to limitations in metric names")
    listed = shell.expect("kafka-topics.sh --list --bootstrap-server localhost:9092")
    assert listed == "cts_topic\n"
    shell.expect(
        "kafka-console-producer.sh --broker-list localhost:9092 --topic cts_topic",
        "first message\nsecond message\n",
    )
    consumer = shell.start(
        "exec kafka-console-consumer.sh --bootstrap-server localhost:9092 "
        "--topic cts_topic --from-beginning"
    )
    assert read_lines(consumer, 2) == ["first message", "second message"]
    consumer.terminate()
    consumer.communicate(timeout=WAIT_S)
    check_old_consumer(shell)
    shell.expect(
        "kafka-topics.sh --bootstrap-server localhost:9092 --alter --topic cts_topic --partitions 4"
    )
    described = shell.expect(
        "kafka-topics.sh --describe --bootstrap-server localhost:9092 --topic cts_topic"
    ).splitlines()
    assert described[0].startswith("Topic: cts_topic\tTopicId: ")
    assert "\tPartitionCount: 4\tReplicationFactor: 1\tConfigs: " in described[0]
    assert described[1].startswith(
        "\tTopic: cts_topic\tPartition: 0\tLeader: 0\tReplicas: 0\tIsr: 0"
    )
    assert len(described) == 5
    shell.expect("kafka-topics.sh --bootstrap-server localhost:9092 --delete --topic cts_topic")
    # What remains is what consumers made, as with Kafka itself.
    listed = shell.expect("kafka-topics.sh --list --bootstrap-server localhost:9092")
    assert listed == "__consumer_offsets\n"
    # kafka-server-stop.sh stops every broker of the user: here only the one of this test.
    pid = process_holding(tmp_path / "kafka-logs")
    assert pid is not None
    stop_process(pid)
    assert (tmp_path / "kafka-logs" / ".kafka_cleanshutdown").exists()


def check_old_consumer(shell: Shell) -> None:
    """A consumer of the ZooKeeper days is told what its flag means now, and sees new records."""
    old = shell.start(
        "exec kafka-console-consumer.sh --zookeeper localhost:9092 --topic cts_topic "
        "--from-beginning --max-messages 2"
    )
    output, errors = old.communicate(timeout=WAIT_S)
    assert output == "first message\nsecond message\n"
    assert "WARNING: --zookeeper is read as --bootstrap-server" in errors
    assert "Processed a total of 2 messages" in errors


def test_a_second_creation_is_refused_in_kafkas_words(shell: Shell) -> None:
    shell.expect("kafka-server-start.sh -daemon $KAFKA_HOME/config/server.properties")
    create = "kafka-topics.sh --create --bootstrap-server localhost:9092 --topic clicks"
    assert shell.expect(create) == "Created topic clicks.\n"
    refused = shell.run(create)
    assert refused.returncode == 1
    assert refused.stdout.splitlines()[0] == (
        "Error while executing topic command : Topic 'clicks' already exists."
    )
    assert "TopicExistsException" in refused.stderr
    assert shell.expect(f"{create} --if-not-exists") == ""
