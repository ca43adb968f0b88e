"""The subcommands that talk to a broker, as a person types them, against a broker process."""

import fcntl
import json
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from functools import partial
from typing import IO, Any

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("cli")) as running:
        yield running


def headrace(
    broker: BrokerProcess, *words: str, typed: bytes = b"", code: int = 0
) -> "subprocess.CompletedProcess[bytes]":
    """Runs `headrace WORDS`; fails where the exit code is another one."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace.api.cli", *words, "-b", broker.bootstrap],
        input=typed,
        check=False,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


def as_json(broker: BrokerProcess, *words: str) -> Any:
    return json.loads(headrace(broker, *words, "--json").stdout)


def test_topics_from_creation_to_deletion(broker: BrokerProcess) -> None:
    made = headrace(broker, "topics", "create", "cli-topics", "--partitions", "2")
    assert made.stdout == b"Created topic cli-topics.\n"
    again = headrace(broker, "topics", "create", "cli-topics", code=1)
    assert b"TOPIC_ALREADY_EXISTS" in again.stderr
    headrace(broker, "topics", "create", "cli-topics", "--if-not-exists")
    headrace(broker, "topics", "alter", "cli-topics", "--partitions", "3")
    headrace(broker, "configs", "set", "--topic", "cli-topics", "retention.ms=60000")
    (described,) = as_json(broker, "topics", "describe", "cli-topics")
    assert len(described["partitions"]) == 3
    assert described["configs"] == {"retention.ms": "60000"}
    headrace(broker, "configs", "unset", "--topic", "cli-topics", "retention.ms")
    assert as_json(broker, "configs", "describe", "--topic", "cli-topics") == []
    headrace(broker, "topics", "delete", "cli-topics")
    assert "cli-topics" not in as_json(broker, "topics", "list")
    missing = headrace(broker, "topics", "describe", "cli-topics", code=1)
    assert b"topic cli-topics: there is none of this name" in missing.stderr
    assert b"UNKNOWN_TOPIC_OR_PARTITION" in missing.stderr


def test_records_keep_keys_headers_and_tombstones(broker: BrokerProcess) -> None:
    headrace(broker, "topics", "create", "cli-records")
    options = ["--key-separator", ":", "--null-value", "NULL", "--header", "from=cli"]
    headrace(broker, "produce", "cli-records", *options, typed=b"a:1\nb:NULL\nc:\n")
    read = headrace(
        *(broker, "consume", "cli-records", "--from-beginning", "--exit-at-end"),
        *("-f", "%t/%p@%o %k=%v %S %h\\n"),
    )
    assert read.stdout.decode().splitlines() == [
        "cli-records/0@0 a=1 1 from=cli",
        "cli-records/0@1 b=null -1 from=cli",
        "cli-records/0@2 c= 0 from=cli",
    ]
    (row,) = as_json(broker, "offsets", "cli-records")
    assert row == {"topic": "cli-records", "partition": 0, "start": 0, "end": 3}


def test_a_group_is_read_described_reset_and_deleted(broker: BrokerProcess) -> None:
    headrace(broker, "topics", "create", "cli-groups")
    headrace(broker, "produce", "cli-groups", typed=b"1\n2\n3\n")
    read = headrace(broker, "consume", "cli-groups", "-g", "report", "--from-beginning", "-n", "3")
    assert read.stdout == b"1\n2\n3\n"
    described = as_json(broker, "groups", "describe", "report")
    assert described["state"] == "Empty"
    assert [row["lag"] for row in described["partitions"]] == [0]
    reset = ["groups", "reset", "report", "--topic", "cli-groups", "--to-offset", "1"]
    assert b"Nothing was changed" in headrace(broker, *reset).stdout
    headrace(broker, *reset, "--execute")
    assert [
        row["lag"] for row in as_json(broker, "groups", "describe", "report")["partitions"]
    ] == [2]
    assert "report" in [row["group"] for row in as_json(broker, "groups", "list")]
    headrace(broker, "groups", "delete", "report")
    assert b"does not exist" in headrace(broker, "groups", "describe", "report", code=1).stderr


def test_bench_measures_all_that_was_sent(broker: BrokerProcess) -> None:
    headrace(broker, "topics", "create", "cli-bench")
    sent = as_json(broker, "bench", "produce", "cli-bench", "--num-records", "20000")
    assert sent["records"] == 20_000
    assert sent["latency_ms"]["p99"] > 0
    read = as_json(broker, "bench", "consume", "cli-bench", "--num-records", "20000")
    assert read["records"] == 20_000
    for verb in ("latency", "end-to-end"):
        options = ["--num-records", "200", "--throughput", "1000"]
        paced = as_json(broker, "bench", verb, "cli-bench", *options)
        assert paced["records"] == 200
        assert paced["seconds"] >= 0.19


@pytest.mark.parametrize(
    "program",
    [
        ["headrace.api.cli", "consume"],
        ["headrace.api.cli.kafka_scripts", "kafka-console-consumer", "--topic"],
    ],
    ids=["consume", "kafka-console-consumer"],
)
def test_a_consumer_that_is_told_to_end_leaves_its_group(
    broker: BrokerProcess, program: list[str]
) -> None:
    topic = f"cli-ended-{program[1]}"
    headrace(broker, "produce", topic, typed=b"first\n")
    group = f"group-of-{program[1]}"
    options = ["--bootstrap-server", broker.bootstrap, "--group", group, "--from-beginning"]
    consumer = subprocess.Popen(
        [sys.executable, "-m", *program, topic, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert consumer.stdout is not None
    assert consumer.stdout.readline() == b"first\n"
    consumer.send_signal(signal.SIGTERM)
    _, complaint = consumer.communicate(timeout=60)
    assert consumer.returncode == 143, complaint
    # It would be a member for 45 s if it had not left; its offset was committed on the way.
    described = as_json(broker, "groups", "describe", group)
    assert (described["state"], described["members"]) == ("Empty", 0)
    assert [row["current_offset"] for row in described["partitions"]] == [1]


def test_a_producer_that_is_told_to_end_sends_what_it_took(broker: BrokerProcess) -> None:
    headrace(broker, "topics", "create", "cli-flushed")
    command = [sys.executable, "-m", "headrace.api.cli.kafka_scripts", "kafka-console-producer"]
    options = ["--bootstrap-server", broker.bootstrap, "--topic", "cli-flushed"]
    # Half a minute of lingering: only a flush sends the line before the end.
    lingers = ["--producer-property", "linger.ms=30000"]
    with subprocess.Popen([*command, *options, *lingers], stdin=subprocess.PIPE) as producer:
        assert producer.stdin is not None
        # It reads the second line once it has handed the first one to the client.
        for line in (b"last words\n", b"and more\n"):
            producer.stdin.write(line)
            producer.stdin.flush()
            wait_until(partial(is_read, producer.stdin), "the line was taken")
        producer.send_signal(signal.SIGTERM)
        assert producer.wait(60) == 143
    consumed = headrace(broker, "consume", "cli-flushed", "--from-beginning", "--exit-at-end")
    assert consumed.stdout.startswith(b"last words\n")


def is_read(pipe: IO[bytes]) -> bool:
    """Whether nothing of what was written into a pipe is still in it."""
    unread = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, unread)
    return unread == bytes(4)


@pytest.mark.parametrize(
    "verb", ["produce", "latency", "end-to-end", "failover", "consume", "embedded"]
)
def test_a_bench_that_is_interrupted_prints_what_it_measured(
    broker: BrokerProcess, verb: str
) -> None:
    headrace(broker, "topics", "create", "cli-early", "--if-not-exists")
    headrace(broker, "bench", "produce", "cli-early", "--num-records", "1000")
    whereto = [] if verb == "embedded" else ["cli-early", "-b", broker.bootstrap]
    command = [sys.executable, "-m", "headrace.api.cli", "bench", verb, *whereto, "--json"]
    bench = subprocess.Popen(
        [*command, "--num-records", "100000000", "--reporting-interval", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert bench.stderr is not None
    # The first line of progress: something was measured.
    while not (line := bench.stderr.readline()).startswith(verb):
        assert line, "it ended by itself"
    bench.send_signal(signal.SIGINT)
    said, complaint = bench.communicate(timeout=120)
    assert bench.returncode == 130, complaint
    assert "ended early: interrupted" in complaint
    found = json.loads(said)
    first = found[0] if verb == "embedded" else found
    assert 0 < first["records"] < 100_000_000


def test_bench_takes_the_words_of_kafkas_perf_tools(broker: BrokerProcess) -> None:
    headrace(broker, "topics", "create", "cli-words", "--partitions", "3")
    words = ["--throughput", "-1", "--record-size", "50", "--warmup-records", "1000"]
    sent = as_json(
        *(broker, "bench", "produce", "--topic", "cli-words", "--num-records", "5000", *words),
        *("--print-metrics", "--producer-props", "acks=1", "batch.size=4096"),
    )
    assert (sent["records"], sent["bytes"], sent["options"]["acks"]) == (5000, 250_000, 1)
    assert sent["metrics"]["batch-size-avg"] < 4096
    assert 0 < sent["without_warmup"]["records"] <= 4000
    words = ["--topic", "cli-words", "--messages", "5000", "--print-metrics"]
    read = as_json(broker, "bench", "consume", *words)
    assert read["metrics"]["records-consumed-total"] == read["records"] == 5000
    missing = headrace(broker, "bench", "produce", "cli-nowhere", code=1)
    assert b"headrace topics create cli-nowhere" in missing.stderr


def test_nobody_at_the_address_is_said_in_words() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headrace.api.cli", "topics", "list", "-b", "127.0.0.1:1"],
        check=False,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert b"no Kafka broker answers at 127.0.0.1:1" in done.stderr
    assert b"headrace up" in done.stderr
