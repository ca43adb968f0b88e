"""DescribeLogDirs and AlterReplicaLogDirs: folders, their partitions, their room, moves."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.handlers.log_dirs import handle_describe_log_dirs
from headrace.api.wire.api_keys import ApiKey
from headrace.api.wire.error_codes import ErrorCode
from tests.support.admin_broker import ask_now
from tests.support.in_process_broker import InProcessBroker, batch_of


class Logs:
    def __init__(self, first: Path, second: Path) -> None:
        self.offline_dirs: list[Path] = []
        self.log_dirs = [first, second]
        self.future_logs = SimpleNamespace(all=list)
        self._held = [(first, "clicks", 0, 10), (second, "clicks", 1, 20), (first, "orders", 0, 30)]

    def logs(self) -> list[Any]:
        return [
            SimpleNamespace(
                folder=folder,
                topic=topic,
                partition=index,
                size_bytes=size,
                high_watermark=7,
                log_end_offset=9,
            )
            for folder, topic, index, size in self._held
        ]

    def get_log(self, topic: str, index: int) -> Any:
        return next(log for log in self.logs() if (log.topic, log.partition) == (topic, index))

    def log_dir_of(self, log: Any) -> Path:
        folder: Path = log.folder
        return folder


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
    return SimpleNamespace(log_manager=Logs(*folders))


def describe(broker: Any, topics: Any = None, version: int = 4) -> dict[str, Any]:
    answer = ask_now(broker, handle_describe_log_dirs, 35, version, {"topics": topics})
    return {Path(result["log_dir"]).name: result for result in answer["results"]}


def sizes(result: dict[str, Any]) -> dict[tuple[str, int], int]:
    return {
        (topic["name"], each["partition_index"]): each["partition_size"]
        for topic in result["topics"]
        for each in topic["partitions"]
    }


@pytest.mark.parametrize("version", range(1, 6))
def test_every_folder_tells_its_partitions_and_sizes(broker: Any, version: int) -> None:
    results = describe(broker, version=version)
    assert sizes(results["one"]) == {("clicks", 0): 10, ("orders", 0): 30}
    assert sizes(results["two"]) == {("clicks", 1): 20}
    if version >= 4:
        assert 0 <= results["one"]["usable_bytes"] <= results["one"]["total_bytes"]


def test_only_the_partitions_asked_for_are_told(broker: Any) -> None:
    results = describe(broker, [{"topic": "clicks", "partitions": [1]}])
    assert sizes(results["one"]) == {}
    assert sizes(results["two"]) == {("clicks", 1): 20}


def test_failed_folder_is_told_as_failed(broker: Any) -> None:
    broker.log_manager.offline_dirs = [broker.log_manager.log_dirs[1]]
    results = describe(broker)
    assert ErrorCode(results["two"]["error_code"]) == ErrorCode.KAFKA_STORAGE_ERROR
    assert results["one"]["error_code"] == 0


def test_a_copy_on_its_way_is_told_with_how_far_it_is_behind(broker: Any) -> None:
    future = SimpleNamespace(topic="clicks", partition=0, size_bytes=4, log_end_offset=2)
    second = broker.log_manager.log_dirs[1]
    broker.log_manager.future_logs = SimpleNamespace(all=lambda: [(future, second)])
    results = describe(broker, [{"topic": "clicks", "partitions": [0]}])
    (topic,) = results["two"]["topics"]
    (told,) = topic["partitions"]
    assert told == {
        "partition_index": 0,
        "partition_size": 4,
        "offset_lag": 7,
        "is_future_key": True,
    }
    (current,) = results["one"]["topics"][0]["partitions"]
    assert (current["offset_lag"], current["is_future_key"]) == (0, False)


def alter(client: Any, path: Path, *indexes: int) -> list[ErrorCode]:
    asked = {"path": str(path), "topics": [{"name": "clicks", "partitions": list(indexes)}]}
    answer = client.ask(ApiKey.ALTER_REPLICA_LOG_DIRS, 2, {"dirs": [asked]})
    (result,) = answer["results"]
    assert result["topic_name"] == "clicks"
    return [ErrorCode(each["error_code"]) for each in result["partitions"]]


def test_a_served_partition_moves_and_goes_on(tmp_path: Path) -> None:
    folders = f"{tmp_path / 'one'},{tmp_path / 'two'}"
    with InProcessBroker(tmp_path, config={"log.dirs": folders}) as served:
        served.create_topic("clicks")
        partition = served.broker.replicas.partition("clicks", 0)

        def append(*values: bytes) -> None:
            served.call(lambda: partition.append_records(batch_of(*values), required_acks=-1))

        append(b"a", b"b")
        assert partition.log is not None
        name = {"one": "two", "two": "one"}[partition.log.path.parent.name]
        target = tmp_path / name
        client = served.requester()
        assert alter(client, target, 0, 1) == [
            ErrorCode.NONE,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ]
        assert alter(client, Path("/nowhere"), 0) == [ErrorCode.LOG_DIR_NOT_FOUND]
        served.wait_until(
            lambda: partition.log is not None and partition.log.path == target / "clicks-0"
        )
        append(b"c")
        assert partition.high_watermark == 3
        answer = client.ask(ApiKey.DESCRIBE_LOG_DIRS, 4, {"topics": None})
        held = {Path(each["log_dir"]).name: each["topics"] for each in answer["results"]}
        (topic,) = (topic for topic in held[name] if topic["name"] == "clicks")
        assert [each["is_future_key"] for each in topic["partitions"]] == [False]
