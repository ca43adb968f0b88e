"""The introduction that every Kafka tutorial prints, run as it is printed."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from headrace.api.cli.__main__ import main as headrace
from headrace.api.cli.processes import process_holding, wait_for_exit
from headrace.api.cli.server import stop_process
from tests.support.broker_process import free_port
from tests.support.cluster_processes import wait_until
from tests.support.requests import Requester

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

WAIT_S = 120


class Shell:
    """Runs lines of a tutorial with KAFKA_HOME and PATH set; ports and folders are the test's."""

    def __init__(self, home: Path, stand_ins: Mapping[str, str]) -> None:
        self._stand_ins = stand_ins
        self.environment = os.environ | {
            "KAFKA_HOME": str(home),
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
            "LOG_DIR": str(home / "logs"),
        }

    def stand_in(self, text: str) -> str:
        """`text` with the ports and folders of this test in the place of those printed."""
        for printed, own in self._stand_ins.items():
            text = text.replace(printed, own)
        return text

    def start(self, line: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.stand_in(line),
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
    ports = {printed: str(free_port()) for printed in ("9092", "9093", "9094")}
    shell = Shell(home, {**ports, "/tmp/kafka-logs": str(tmp_path / "kafka-logs")})
    settings = home / "config" / "server.properties"
    settings.write_text(shell.stand_in(settings.read_text()))
    yield shell
    for folder in tmp_path.glob("kafka-logs*"):
        pid = process_holding(folder)
        if pid is not None:
            wait_for_exit(pid, partial(os.kill, pid, 9), WAIT_S)


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


EDITS = (  # what the tutorial's reader changes in the two copies, with an editor
    {"broker.id=": "broker.id={0}", "listeners=": "listeners=PLAINTEXT://:909{1}"}
    | {"log.dir=": "log.dir=/tmp/kafka-logs-{0}"}
)


def edit_copy(shell: Shell, number: int) -> None:
    """server-1.properties and server-2.properties as the tutorial has them edited."""
    path = Path(shell.environment["KAFKA_HOME"]) / "config" / f"server-{number}.properties"
    kept = [line for line in path.read_text().splitlines() if not line.startswith(tuple(EDITS))]
    edited = [text.format(number, number + 2) for text in EDITS.values()]
    lines = [*edited, f"port=909{number + 2}", *kept]
    path.write_text(shell.stand_in("\n".join(lines) + "\n"))


def test_the_three_broker_part_runs_as_printed_and_outlives_its_leader(
    shell: Shell, tmp_path: Path
) -> None:
    shell.expect("kafka-server-start.sh -daemon $KAFKA_HOME/config/server.properties")
    consume_with_a_group(shell, "cts_topic", ["before the others"], is_first=True)
    shell.expect(
        "cd $KAFKA_HOME; cp config/server.properties config/server-1.properties; "
        "cp config/server.properties config/server-2.properties"
    )
    for number in (1, 2):
        edit_copy(shell, number)
        shell.expect(f"kafka-server-start.sh -daemon $KAFKA_HOME/config/server-{number}.properties")
    wait_until(lambda: brokers_told_by(shell) == {0, 1, 2}, "three brokers")
    topic = "--bootstrap-server localhost:9092 --topic clickstream"
    created = shell.expect(
        f"kafka-topics.sh --create {topic} --replication-factor 3 --partitions 1"
    )
    assert created == "Created topic clickstream.\n"
    shell.expect(f"kafka-topics.sh --alter {topic} --partitions 4")
    # New partitions are there before each of them has its leader.
    before = describe(shell, topic, until=lambda rows: "none" not in {r["Leader"] for r in rows})
    assert [row["Replicas"].count(",") for row in before] == [2, 2, 2, 2]
    assert len({row["Leader"] for row in before}) > 1
    messages = [f"click {number}" for number in range(20)]
    shell.expect(
        "kafka-console-producer.sh --broker-list localhost:9092 --topic clickstream",
        "\n".join(messages) + "\n",
    )
    assert consume(shell, topic, 20) == sorted(messages)
    wait_for_copies_of_offsets(shell)
    # The first broker of the cluster dies, which leads at least one of the partitions.
    pid = process_holding(tmp_path / "kafka-logs")
    assert pid is not None
    wait_for_exit(pid, partial(os.kill, pid, 9), WAIT_S)
    others = "--bootstrap-server localhost:9093 --topic clickstream"
    # Its partitions get a leader; the leaders of the others shrink their ISR when they notice.
    describe(
        shell,
        others,
        until=lambda rows: all(
            row["Leader"] != "0" and sorted(row["Isr"].split(",")) == ["1", "2"] for row in rows
        ),
    )
    assert consume(shell, others, 20) == sorted(messages)
    consume_with_a_group(shell, "clickstream", messages, server="localhost:9093")


def wait_for_copies_of_offsets(shell: Shell) -> None:
    """The offsets of groups were on the first broker alone, and are copied as others join."""
    describe(
        shell,
        "--bootstrap-server localhost:9092 --topic __consumer_offsets",
        until=lambda rows: all(sorted(row["Isr"].split(",")) == ["0", "1", "2"] for row in rows),
    )


def brokers_told_by(shell: Shell) -> set[int]:
    """The brokers that the first one tells its clients of."""
    with Requester(int(shell.stand_in("9092"))) as requester:
        return {each["node_id"] for each in requester.ask(3, 12, {"topics": []})["brokers"]}


def describe(
    shell: Shell,
    topic: str,
    until: Callable[[list[dict[str, str]]], bool] = lambda rows: True,
) -> list[dict[str, str]]:
    """The rows of `--describe`, once they are as `until` says; they must become so in time."""
    deadline = time.monotonic() + WAIT_S
    while True:
        said = shell.expect(f"kafka-topics.sh --describe {topic}").splitlines()[1:]
        fields = [dict(field.split(": ", 1) for field in _fields(line)) for line in said]
        if until(fields):
            return fields
        assert time.monotonic() < deadline, said


def _fields(line: str) -> list[str]:
    return [field for field in line.strip().split("\t") if ": " in field]


def consume(shell: Shell, topic: str, count: int) -> list[str]:
    said = shell.expect(
        f"kafka-console-consumer.sh {topic} --from-beginning --max-messages {count}"
    )
    return sorted(said.splitlines())


def consume_with_a_group(
    shell: Shell,
    topic: str,
    messages: list[str],
    *,
    server: str = "localhost:9092",
    is_first: bool = False,
) -> None:
    """A group reads `messages`; the first call writes them too, so that offsets are kept."""
    if is_first:
        shell.expect(
            f"kafka-console-producer.sh --broker-list {server} --topic {topic}",
            "\n".join(messages) + "\n",
        )
    said = shell.expect(
        f"kafka-console-consumer.sh --bootstrap-server {server} --topic {topic} --group readers "
        f"--from-beginning --max-messages {len(messages)}"
    )
    assert sorted(said.splitlines()) == sorted(messages)
