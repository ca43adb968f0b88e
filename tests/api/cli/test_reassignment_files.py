"""The files of kafka-reassign-partitions.sh: what is read, what is refused, what is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.api.cli.kafka_scripts import reassignment_files as files
from headrace.api.cli.kafka_scripts.leader_election import read_places
from headrace.api.cli.replica_log_dirs import Replica
from headrace.core.errors import HeadraceError

ROW = {"topic": "foo", "partition": 1, "replicas": [2, 0]}


def written(folder: Path, document: Any) -> Path:
    path = folder / "file.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    targets = {("foo", 1): [2, 0], ("bar", 0): [1]}
    text = files.as_json(targets)
    assert files.read_targets(written(tmp_path, text)) == targets
    assert text.startswith('{"version":1,"partitions":[{"topic":"bar","partition":0,"replicas":[1]')


def test_folders_that_are_written_are_read_again(tmp_path: Path) -> None:
    log_dirs = {Replica("foo", 1, 0): "/disk/two"}
    text = files.as_json({("foo", 1): [2, 0]}, log_dirs)
    assert '"log_dirs":["any","/disk/two"]' in text
    assert files.read_log_dirs(written(tmp_path, text)) == log_dirs
    assert files.read_log_dirs(written(tmp_path, {"version": 1, "partitions": [ROW]})) == {}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("no json", "not a valid JSON"),
        ({"version": 2, "partitions": [ROW]}, "Not supported version field value 2"),
        ({"version": "1", "partitions": [ROW]}, 'Expected `Integer` value, received "1"'),
        ([1], r"Expected JSON object, received \[1\]"),
        ({"version": 1}, "Partition reassignment list cannot be empty"),
        ({"version": 1, "partitions": []}, "cannot be empty"),
        ({"version": 1, "partitions": [{**ROW, "replicas": []}]}, "replica list cannot be empty"),
        ({"version": 1, "partitions": [ROW, ROW]}, "duplicate topic partitions: foo-1"),
        ({"version": 1, "partitions": [{**ROW, "replicas": [3, 3]}]}, "multiple entries for 3"),
        ({"version": 1, "partitions": [{"topic": "foo"}]}, "No such field exists: `partition`"),
        ({"version": 1, "partitions": [{**ROW, "partition": "1"}]}, '`Integer` .* received "1"'),
        ({"version": 1, "partitions": [{**ROW, "topic": 5}]}, "`String` value, received 5"),
        ({"version": 1, "partitions": [{**ROW, "log_dirs": 7}]}, "Expected `List`"),
        (
            {"version": 1, "partitions": [{**ROW, "log_dirs": ["any"]}]},
            r"replicas list \[2, 0\] is different from size of log dirs list \[any\] for .* foo-1",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_kafka_refuses_is_refused(tmp_path: Path, document: Any, reason: str) -> None:
    with pytest.raises(HeadraceError, match=reason):
        files.read_new_targets(written(tmp_path, document))


def test_a_file_that_cannot_be_executed_can_be_verified_and_called_off(tmp_path: Path) -> None:
    twice = {"version": 1, "partitions": [ROW, {**ROW, "replicas": []}]}
    assert files.read_targets(written(tmp_path, twice)) == {("foo", 1): []}
    assert files.read_targets(written(tmp_path, {"version": 1})) == {}
    with pytest.raises(HeadraceError, match=r"^Unable to read file .*nosuch$"):
        files.read_targets(tmp_path / "nosuch")


def test_topics_and_brokers_are_named_once(tmp_path: Path) -> None:
    rows = [{"topic": "a"}, {"topic": "b"}]
    assert files.read_topics(written(tmp_path, {"topics": rows, "version": 1})) == ["a", "b"]
    with pytest.raises(HeadraceError, match=r"duplicate entries: \[a\]"):
        files.read_topics(written(tmp_path, {"topics": [*rows, rows[0]], "version": 1}))
    assert files.parse_brokers("0,2") == [0, 2]
    for text in ("0,0", "a"):
        with pytest.raises(HeadraceError):
            files.parse_brokers(text)


def test_partitions_to_elect_are_named_once(tmp_path: Path) -> None:
    row = {"topic": "foo", "partition": 1}
    assert read_places(written(tmp_path, {"partitions": [row]})) == [("foo", 1)]
    for document in ({"partitions": [row, row]}, {}, {"partitions": [{"topic": "foo"}]}):
        with pytest.raises(HeadraceError):
            read_places(written(tmp_path, document))
