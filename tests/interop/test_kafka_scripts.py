"""The scripts of `headrace kafka-home` beside Apache Kafka's own tools, on the same broker.

Both are run with the same flags, and must print the same lines and leave with the same code.
"""

import contextlib
import io
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.api.cli.kafka_scripts.__main__ import main as run_script
from headrace.api.wire.codec import encode_stored
from tests.support.batches import make_batch
from tests.support.broker_process import BrokerProcess
from tests.support.kafka_java import JVM_FLAGS, RUN_SECONDS, kafka_classpath
from tests.support.requests import Requester

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.timeout(600)]

TOOLS = "org.apache.kafka.tools"
CLASSES = {
    "kafka-broker-api-versions": f"{TOOLS}.BrokerApiVersionsCommand",
    "kafka-cluster": f"{TOOLS}.ClusterTool",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups": f"{TOOLS}.consumer.group.ConsumerGroupCommand",
    "kafka-delete-records": f"{TOOLS}.DeleteRecordsCommand",
    "kafka-dump-log": f"{TOOLS}.DumpLogSegments",
    "kafka-get-offsets": f"{TOOLS}.GetOffsetShell",
    "kafka-log-dirs": f"{TOOLS}.LogDirsCommand",
    "kafka-topics": f"{TOOLS}.TopicCommand",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker with records, and a group that has read them and left."""
    kafka_classpath()
    config = {"log.segment.bytes": "1073741824", "log.retention.hours": "168"}
    folder = tmp_path_factory.mktemp("scripts")
    with BrokerProcess(folder, topics={"clicks": 1, "users": 3}, config=config) as running:
        typed = "".join(f"key-{number}\tvalue-{number}\n" for number in range(6))
        arguments = ["--topic", "clicks", "--property", "parse.key=true"]
        ours(running, "kafka-console-producer", *arguments, typed=typed)
        ours(running, "kafka-consumer-groups", *RESET, "--to-offset", "4", "--execute")
        yield running


RESET = ["--reset-offsets", "--group", "report", "--topic", "clicks"]


def ours(
    broker: BrokerProcess, script: str, *arguments: str, typed: str = ""
) -> tuple[int, list[str]]:
    """The exit code of our script, and the lines it prints."""
    with (
        pytest.MonkeyPatch.context() as patch,
        io.StringIO() as output,
        tempfile.TemporaryFile("w+") as given,
    ):
        given.write(typed)
        given.seek(0)
        patch.setattr("sys.stdin", given)
        with contextlib.redirect_stdout(output):
            try:
                code = run_script([script, *addressed(broker, script, arguments)])
            except SystemExit as left:
                code = int(left.code or 0)
        return code, output.getvalue().splitlines()


def theirs(broker: BrokerProcess, script: str, *arguments: str) -> tuple[int, list[str]]:
    """The same of Kafka's tool."""
    command = ["java", *JVM_FLAGS, "-cp", kafka_classpath(), CLASSES[script]]
    done = subprocess.run(
        command + addressed(broker, script, arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    return done.returncode, done.stdout.splitlines()


def addressed(broker: BrokerProcess, script: str, arguments: tuple[str, ...]) -> list[str]:
    if script == "kafka-dump-log":
        return list(arguments)
    address = ["--bootstrap-server", broker.bootstrap]
    is_subcommand = script == "kafka-cluster"
    return [*arguments, *address] if is_subcommand else [*address, *arguments]


DESCRIBE_GROUP = ["--describe", "--group", "report"]
TOPIC_CONFIGS = ["--entity-type", "topics", "--entity-name", "clicks"]
BROKER_CONFIGS = ["--entity-type", "brokers", "--entity-name", "1"]
SAME = [
    ["kafka-topics", "--list"],
    ["kafka-topics", "--describe", "--topic", "clicks"],
    ["kafka-topics", "--describe", "--topic", "nosuch"],
    ["kafka-topics", "--describe", "--under-replicated-partitions"],
    ["kafka-topics", "--create", "--topic", "clicks"],
    ["kafka-topics", "--create", "--topic", "clicks", "--if-not-exists"],
    ["kafka-topics", "--create", "--topic", "wide", "--replication-factor", "3"],
    ["kafka-topics", "--alter", "--topic", "users", "--partitions", "2"],
    ["kafka-topics", "--alter", "--topic", "nosuch", "--partitions", "2"],
    ["kafka-topics", "--delete", "--topic", "nosuch"],
    ["kafka-topics"],
    ["kafka-consumer-groups", "--list"],
    ["kafka-consumer-groups", "--list", "--state", "--type"],
    ["kafka-consumer-groups", *DESCRIBE_GROUP],
    ["kafka-consumer-groups", *DESCRIBE_GROUP, "--verbose"],
    ["kafka-consumer-groups", *DESCRIBE_GROUP, "--members"],
    ["kafka-consumer-groups", *DESCRIBE_GROUP, "--members", "--verbose"],
    ["kafka-consumer-groups", *DESCRIBE_GROUP, "--state"],
    ["kafka-consumer-groups", *DESCRIBE_GROUP, "--state", "--verbose"],
    ["kafka-consumer-groups", "--describe"],
    ["kafka-consumer-groups", *RESET],
    ["kafka-consumer-groups", *RESET, "--to-earliest", "--dry-run"],
    ["kafka-consumer-groups", *RESET, "--to-latest", "--dry-run", "--export"],
    ["kafka-consumer-groups", *RESET, "--shift-by", "-2", "--dry-run"],
    ["kafka-consumer-groups", *RESET, "--by-duration", "PT1H", "--dry-run"],
    ["kafka-consumer-groups", *RESET, "--to-datetime", "2020-01-01T00:00:00.000", "--dry-run"],
    ["kafka-consumer-groups", "--delete", "--group", "nosuch"],
    ["kafka-consumer-groups", "--validate-regex", "a.*"],
    ["kafka-cluster", "unregister", "--id", "5"],
    ["kafka-configs", "--describe", "--entity-type", "groups"],
    ["kafka-configs", "--describe", "--entity-type", "groups", "--entity-name", "nosuch"],
    ["kafka-configs", "--describe", "--group", "report"],
    ["kafka-configs", "--describe", "--group", "report", "--all"],
    ["kafka-configs", *TOPIC_CONFIGS, "--describe"],
    ["kafka-configs", *TOPIC_CONFIGS, "--describe", "--all"],
    ["kafka-configs", *BROKER_CONFIGS, "--describe", "--all"],
    ["kafka-configs", *TOPIC_CONFIGS, "--alter", "--add-config", "retention.ms=604800000"],
    ["kafka-configs", *TOPIC_CONFIGS, "--alter", "--delete-config", "retention.ms"],
    ["kafka-configs", *TOPIC_CONFIGS, "--alter"],
    ["kafka-get-offsets"],
    ["kafka-get-offsets", "--topic", "clicks", "--time", "earliest"],
    ["kafka-get-offsets", "--topic", "clicks", "--time", "max-timestamp"],
    ["kafka-get-offsets", "--topic-partitions", "u.*:1-3"],
    ["kafka-get-offsets", "--topic", "nosuch"],
    ["kafka-log-dirs", "--describe", "--topic-list", "clicks"],
    ["kafka-cluster", "cluster-id"],
    ["kafka-cluster", "list-endpoints"],
    ["kafka-broker-api-versions"],
]


@pytest.mark.parametrize("call", SAME, ids=" ".join)
def test_our_script_says_what_kafkas_tool_says(broker: BrokerProcess, call: list[str]) -> None:
    code, lines = ours(broker, *call)
    their_code, their_lines = theirs(broker, *call)
    if call[0] == "kafka-broker-api-versions":
        # What a tool can use depends on what it knows itself.
        lines, their_lines = map(without_usable, (lines, their_lines))
    assert lines == their_lines
    assert code == their_code


def without_usable(lines: list[str]) -> list[str]:
    return [line.partition(" [usable")[0].rstrip(",") for line in lines]


@pytest.mark.parametrize("flags", [[], ["--deep-iteration"], ["--print-data-log"]], ids="".join)
def test_a_dumped_segment_reads_as_in_kafkas_tool(
    broker: BrokerProcess, tmp_path: Path, flags: list[str]
) -> None:
    with BrokerProcess(tmp_path, topics={"dumped": 1}) as stopped:
        arguments = ["--topic", "dumped", "--property", "parse.key=true"]
        arguments += ["--property", "null.marker=NULL"]
        typed = "key\tvalue\n\tempty key\ngone\tNULL\n"
        ours(stopped, "kafka-console-producer", *arguments, typed=typed)
        ours(stopped, "kafka-console-producer", "--topic", "dumped", typed="no key\n")
        stopped.terminate()
        segment = stopped.data / "dumped-0" / "00000000000000000000.log"
        call = ["kafka-dump-log", "--files", str(segment), *flags]
        code, lines = ours(broker, *call)
        their_code, their_lines = theirs(broker, *call)
        # Behind the name of an exception the words are each broker's own.
        assert [line.split("Exception:")[0] for line in lines] == [
            line.split("Exception:")[0] for line in their_lines
        ]
        assert code == their_code


def offset_records() -> list[tuple[bytes, bytes | None]]:
    """Records of __consumer_offsets in every version, whole and odd ones."""

    def stored(kind: str, version: int, body: dict[str, object]) -> bytes:
        return version.to_bytes(2, "big") + encode_stored(kind, version, body)

    committed = {"offset": 5, "metadata": 'said "so"\n\x1b\u00e9\\u001f', "commit_timestamp": 9}
    commit_key = stored("OffsetCommitKey", 1, {"group": "g", "topic": "t", "partition": 3})
    group_key = stored("GroupMetadataKey", 2, {"group": "g"})
    records: list[tuple[bytes, bytes | None]] = [(commit_key, None), (group_key, None)]
    for version in range(5):
        given = {**committed, "leader_epoch": 4} if version >= 3 else dict(committed)
        if version == 4:
            given["topic_id"] = bytes(range(16))
        records.append((commit_key, stored("OffsetCommitValue", version, given)))
    records.append((commit_key, stored("OffsetCommitValue", 4, committed)))
    owned = [{"topic": "t", "partitions": [0, 2]}]
    subscription = {"topics": ["t"], "user_data": b"\x00\xff", "owned_partitions": owned}
    assignment = stored("ConsumerProtocolAssignment", 1, {"assigned_partitions": owned})
    for version in range(5):
        member = {
            "member_id": "m",
            "client_id": "c",
            "client_host": "/127.0.0.1",
            "rebalance_timeout": 7,
            "session_timeout": 8,
            "subscription": stored("ConsumerProtocolSubscription", min(version, 3), subscription),
            "assignment": assignment if version else b"",
        }
        for kind in ("consumer", "connect"):
            group = {"protocol_type": kind, "generation": 1, "members": [member]}
            records.append((group_key, stored("GroupMetadataValue", version, group)))
    return records


def test_committed_offsets_are_dumped_as_by_kafkas_tool(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    segment = tmp_path / "00000000000000000000.log"
    segment.write_bytes(make_batch(offset_records()))
    call = ["kafka-dump-log", "--files", str(segment), "--offsets-decoder"]
    assert ours(broker, *call) == theirs(broker, *call)


def test_records_are_deleted_as_by_kafkas_tool(broker: BrokerProcess, tmp_path: Path) -> None:
    path = tmp_path / "offsets.json"
    rows = [{"topic": "deleted", "partition": 0, "offset": offset} for offset in (2, 1_000)]
    with Requester(broker.port) as requester:
        requester.create_topics({"deleted": 1})
    ours(broker, "kafka-console-producer", "--topic", "deleted", typed="a\nb\nc\n")
    for row in rows:
        path.write_text(json.dumps({"partitions": [row], "version": 1}))
        call = ["kafka-delete-records", "--offset-json-file", str(path)]
        code, lines = ours(broker, *call)
        their_code, their_lines = theirs(broker, *call)
        # Behind the name of an exception the words are each broker's own.
        assert [line.split("Exception:")[0] for line in lines] == [
            line.split("Exception:")[0] for line in their_lines
        ]
        assert code == their_code
