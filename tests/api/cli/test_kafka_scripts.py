"""Kafka's dialect: flags, reader and formatter properties, and the folder of scripts."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from headrace.api.cli.__main__ import main as headrace
from headrace.api.cli.kafka_scripts import SCRIPTS, configs, log_dirs, run_class, topics
from headrace.api.cli.kafka_scripts.__main__ import main as run_script
from headrace.api.cli.kafka_scripts.configs import parse_add_config
from headrace.api.cli.kafka_scripts.console_consumer import compile_formatter
from headrace.api.cli.kafka_scripts.console_producer import LineReader
from headrace.api.cli.kafka_scripts.consumer_groups import parse_duration_ms, read_positions
from headrace.api.cli.kafka_scripts.delete_records import read_offsets
from headrace.api.cli.kafka_scripts.get_offsets import is_selected, parse_partitions
from headrace.api.cli.kafka_scripts.old_flags import without_old_flags
from headrace.api.cli.kafka_scripts.options import client_properties
from headrace.api.cli.kafka_scripts.topics import parse_replica_assignment
from headrace.core.errors import HeadraceError
from tests.api.cli.test_consume import Message


def test_kafka_home_holds_every_script_and_its_settings(tmp_path: Path) -> None:
    assert headrace(["kafka-home", str(tmp_path)]) == 0
    assert {path.stem for path in (tmp_path / "bin").iterdir()} == set(SCRIPTS)
    assert (tmp_path / "config" / "server.properties").exists()
    script = tmp_path / "bin" / "zookeeper-server-start.sh"
    ran = subprocess.run([script, "-daemon", "x"], check=False, capture_output=True, text=True)
    assert ran.returncode == 0
    assert "no ZooKeeper" in ran.stdout


def test_kafka_home_keeps_settings_that_were_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    headrace(["kafka-home", str(tmp_path)])
    changed = tmp_path / "config" / "server.properties"
    changed.write_text("broker.id=7\n")
    headrace(["kafka-home", str(tmp_path)])
    assert changed.read_text() == "broker.id=7\n"
    assert "kept" in capsys.readouterr().out
    headrace(["kafka-home", str(tmp_path), "--force"])
    assert changed.read_text() != "broker.id=7\n"


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_script_tells_its_flags(script: str) -> None:
    if script.startswith("zookeeper"):
        pytest.skip("takes any flag")
    command = [sys.executable, "-m", "headrace.api.cli.kafka_scripts", script, "--help"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert f"usage: {script}.sh" in ran.stdout


def test_the_console_producer_reads_headers_key_and_value() -> None:
    reader = LineReader({"parse.key": "true", "parse.headers": "true", "null.marker": "NULL"})
    assert reader.parse_line(b"a:1,b:2\tkey\tvalue\tmore", 1) == (
        b"key",
        b"value\tmore",
        [("a", b"1"), ("b", b"2")],
    )
    assert reader.parse_line(b"NULL\tkey\tNULL", 2) == (b"key", None, [])


def test_the_console_producer_names_the_line_without_a_key() -> None:
    with pytest.raises(HeadraceError, match="line number 3"):
        LineReader({"parse.key": "true"}).parse_line(b"value", 3)
    with pytest.raises(HeadraceError, match=r"parse\.keys"):
        LineReader({"parse.keys": "true"})


def test_the_console_consumer_prints_in_kafkas_order() -> None:
    render = compile_formatter(
        {
            "print.key": "true",
            "print.timestamp": "true",
            "print.partition": "true",
            "print.offset": "true",
            "print.headers": "true",
        }
    )
    assert render(Message()) == (
        b"CreateTime:1700\tPartition:2\tOffset:7\ta:1,b:null\tuser\thello\n"
    )
    assert compile_formatter({})(Message(value=None)) == b"null\n"


def test_a_misspelt_formatter_property_is_named() -> None:
    with pytest.raises(HeadraceError, match=r"print\.keys"):
        compile_formatter({"print.keys": "true"})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--entity-type", "users", "--entity-name", "u"], "quotas and SCRAM credentials"),
        (["--user", "u"], "quotas and SCRAM credentials"),
        (["--user-defaults"], "quotas and SCRAM credentials"),
        (["--entity-type", "clients", "--entity-default"], "quotas of client ids"),
        (["--ip", "10.0.0.1"], "max.connections.per.ip"),
        (["--client-metrics", "m"], "client telemetry"),
        (["--entity-type", "broker-loggers", "--entity-name", "1"], "log levels"),
    ],
)
def test_configs_says_in_words_what_has_no_settings_here(flags: list[str], said: str) -> None:
    with pytest.raises(HeadraceError, match=re.escape(said)):
        configs.main(["--bootstrap-server", "127.0.0.1:1", "--describe", *flags])


def test_partition_ranges_exclude_their_upper_bound() -> None:
    assert parse_partitions("0,2-4") == {0, 2, 3}
    with pytest.raises(HeadraceError):
        parse_partitions("a")


@pytest.mark.parametrize(
    ("patterns", "topic", "partition", "selected"),
    [
        (None, "clicks", 5, True),
        ("clicks:0", "clicks", 0, True),
        ("clicks:0", "clicks", 1, False),
        ("clicks:1-3", "clicks", 2, True),
        ("clicks:1-3", "clicks", 3, False),
        ("users,clicks:1-", "clicks", 9, True),
        (":2", "any", 2, True),
        ("users", "clicks", 0, False),
    ],
)
def test_topic_partition_patterns(
    patterns: str | None, topic: str, partition: int, selected: bool
) -> None:
    assert is_selected(patterns, topic, partition) is selected


def test_added_settings_may_group_values_with_brackets() -> None:
    assert parse_add_config("a.b=1,cleanup.policy=[compact,delete],c=x") == {
        "a.b": "1",
        "cleanup.policy": "compact,delete",
        "c": "x",
    }
    with pytest.raises(HeadraceError, match="key=val"):
        parse_add_config("retention")


def test_replica_assignments_are_read() -> None:
    assert parse_replica_assignment("0:1,1:2") == {0: [0, 1], 1: [1, 2]}
    with pytest.raises(HeadraceError):
        parse_replica_assignment("a")


def test_java_settings_become_librdkafkas() -> None:
    given = {"max.request.size": "10", "key.serializer": "x", "acks": "1"}
    assert client_properties(given) == {"message.max.bytes": "10", "acks": "1"}
    with pytest.raises(HeadraceError, match="PLAINTEXT"):
        client_properties({"security.protocol": "SASL_SSL"})


def test_an_offset_file_names_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "offsets.json"
    path.write_text('{"partitions": [{"topic": "t", "partition": 0, "offset": 3}], "version": 1}')
    assert read_offsets(path) == {("t", 0): 3}
    path.write_text('{"partitions": [{"topic": "t"}]}')
    with pytest.raises(HeadraceError, match="must hold"):
        read_offsets(path)
    with pytest.raises(HeadraceError, match="No such file"):
        read_offsets(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [("PT1H", 3_600_000), ("P1DT2M", 86_520_000), ("PT0.5S", 500), ("P2D", 172_800_000)],
)
def test_durations_are_read_as_iso_8601_has_them(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize("text", ["", "P", "PT", "1h", "PT1X", "P-1D"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(HeadraceError, match="PnDTnHnMnS"):
        parse_duration_ms(text)


def test_exported_positions_are_read_for_one_group(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text("clicks,0,5\nclicks,1,7\n\n")
    assert read_positions(path, "report") == {("clicks", 0): 5, ("clicks", 1): 7}
    path.write_text("report,clicks,0,5\nother,clicks,0,9\n")
    assert read_positions(path, "report") == {("clicks", 0): 5}
    path.write_text("clicks,zero,5\n")
    with pytest.raises(HeadraceError, match="topic,partition,offset"):
        read_positions(path, "report")


@pytest.mark.parametrize(
    "name", ["under-replicated-partitions", "at-min-isr-partitions", "topics-with-overrides"]
)
def test_kafka_topics_filters_only_what_it_describes(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit, match="1"):
        topics.main(["--bootstrap-server", "127.0.0.1:1", "--list", f"--{name}"])
    refusal = f'Option "[{name}]" can\'t be used with option "[list]"'
    assert capsys.readouterr().err.splitlines()[0] == refusal


def test_kafka_log_dirs_refuses_brokers_in_kafkas_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--bootstrap-server", "127.0.0.1:1", "--describe", "--broker-list"]
    assert log_dirs.main([*flags, "a"]) == 1
    assert capsys.readouterr().err == 'For input string: "a"\n'
    known = SimpleNamespace(metadata=lambda _topics: {"brokers": [{"node_id": 0}]})
    monkeypatch.setattr(log_dirs, "admin", lambda _args: contextlib.nullcontext(known))
    assert log_dirs.main([*flags, "0,9"]) == 1
    assert capsys.readouterr().err == (
        "ERROR: The given brokers do not exist from --broker-list: 9. Current existent brokers: 0\n"
    )


@pytest.mark.parametrize(
    "script", ["kafka-topics", "kafka-configs", "kafka-console-consumer", "kafka-consumer-groups"]
)
def test_an_address_of_zookeeper_is_answered_with_what_to_give_instead(
    script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script([script, "--zookeeper", "localhost:2181/kafka", "--list"]) == 1
    assert capsys.readouterr().err == (
        "Error: there is no ZooKeeper here: give --bootstrap-server localhost:9092 in the place "
        "of --zookeeper localhost:2181/kafka\n"
    )


def test_the_flag_of_the_once_new_consumer_is_dropped() -> None:
    flags = ["--new-consumer", "--bootstrap-server", "localhost:9092", "--list"]
    assert without_old_flags(flags) == flags[1:]
    both = ["--bootstrap-server", "localhost:9092", "--zookeeper", "localhost:2181"]
    assert without_old_flags(both) == both
    assert without_old_flags(["--zookeeper"]) == ["--zookeeper"]


def test_a_java_class_stands_for_its_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script(["kafka-run-class", "kafka.tools.StorageTool", "random-uuid"]) == 0
    assert len(capsys.readouterr().out.strip()) == 22
    assert set(run_class.CLASSES.values()) <= set(SCRIPTS)
    assert run_script(["kafka-run-class", "kafka.tools.MirrorMaker", "--help"]) == 1
    assert "no Java here to run kafka.tools.MirrorMaker" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "instead"),
    [("kafka-acls", "firewall"), ("kafka-features", "kafka-broker-api-versions.sh")],
)
def test_what_is_not_supported_says_what_there_is_instead(
    script: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script([script, "--bootstrap-server", "localhost:9092", "--list"]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert instead in error


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("kafka-console-consumer", ["--topic", "t", "--formatter-config"]),
        ("kafka-console-consumer", ["--topic", "t", "--command-config"]),
        ("kafka-console-producer", ["--topic", "t", "--reader-config"]),
        ("kafka-console-producer", ["--topic", "t", "--command-config"]),
    ],
)
def test_a_missing_file_of_properties_is_named(
    script: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.properties")
    assert run_script([script, "--bootstrap-server", "127.0.0.1:1", *flags, missing]) == 1
    assert capsys.readouterr().err == f"Error: {missing}: No such file or directory\n"


def test_settings_to_add_may_come_from_a_file(tmp_path: Path) -> None:
    given = tmp_path / "added.properties"
    given.write_text("retention.ms=1000\n")
    flags = ["--bootstrap-server", "x:1", "--alter", "--add-config-file", str(given)]
    flags += ["--entity-type", "topics", "--entity-name", "t"]
    changed = {}
    client = SimpleNamespace(alter_configs=lambda kind, name, sets, deletes: changed.update(sets))
    args = configs._parser().parse_args(flags)
    configs._alter(client, "topics", "t", args)  # type: ignore[arg-type]
    assert changed == {"retention.ms": "1000"}


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--offset", "1"], "The partition is required when offset is specified."),
        (
            ["--offset", "1", "--partition", "0", "--from-beginning"],
            "Options from-beginning and offset cannot be specified together.",
        ),
    ],
)
def test_the_console_consumer_refuses_an_offset_that_has_no_place(
    flags: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["kafka-console-consumer", "--bootstrap-server", "127.0.0.1:1", "--topic", "t"]
    with pytest.raises(SystemExit) as ended:
        run_script([*command, *flags])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"{why}\n")
