"""DescribeLogDirs: folders, their partitions, their room."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.handlers.log_dirs import handle_describe_log_dirs
from headrace.api.wire.error_codes import ErrorCode
from tests.support.admin_broker import ask_now


class Logs:
    def __init__(self, first: Path, second: Path) -> None:
        self.offline_dirs: list[Path] = []
        self._held = [(first, "clicks", 0, 10), (second, "clicks", 1, 20), (first, "orders", 0, 30)]

    def logs(self) -> list[Any]:
        return [
            SimpleNamespace(folder=folder, topic=topic, partition=index, size_bytes=size)
            for folder, topic, index, size in self._held
        ]

    def log_dir_of(self, log: Any) -> Path:
        folder: Path = log.folder
        return folder


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
    return SimpleNamespace(log_manager=Logs(*folders), config=SimpleNamespace(log_dirs=folders))


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
    broker.log_manager.offline_dirs = [broker.config.log_dirs[1]]
    results = describe(broker)
    assert ErrorCode(results["two"]["error_code"]) == ErrorCode.KAFKA_STORAGE_ERROR
    assert results["one"]["error_code"] == 0
