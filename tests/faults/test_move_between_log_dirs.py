"""SIGKILL while a partition moves from one folder of log.dirs to the other, under load."""

import random
from pathlib import Path

import pytest

from headrace.api.wire.api_keys import ApiKey
from headrace.core.log_verify import verify_log_dir
from tests.faults.test_kill_in_the_middle import KeyedLog, killed_soon
from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import wait_until
from tests.support.requests import Requester
from tests.support.stored_records import create_topic

CYCLES = 6
NONE = 0


def begin_move(requester: Requester, folder: Path) -> None:
    asked = {"path": str(folder), "topics": [{"name": "clicks", "partitions": [0]}]}
    (result,) = requester.ask(ApiKey.ALTER_REPLICA_LOG_DIRS, 2, {"dirs": [asked]})["results"]
    assert [each["error_code"] for each in result["partitions"]] == [NONE]


def whereabouts(requester: Requester) -> dict[bool, str]:
    """is_future_key -> the name of the folder that holds that copy."""
    answer = requester.ask(ApiKey.DESCRIBE_LOG_DIRS, 4, {"topics": None})
    return {
        partition["is_future_key"]: Path(folder["log_dir"]).name
        for folder in answer["results"]
        for topic in folder["topics"]
        if topic["name"] == "clicks"
        for partition in topic["partitions"]
    }


@pytest.mark.slow
@pytest.mark.parametrize("flush_messages", ["1", "1000000"])
def test_kills_during_moves_lose_nothing(tmp_path: Path, flush_messages: str) -> None:
    chance = random.Random(20261127)
    folders = {name: tmp_path / name for name in ("one", "two")}
    config = {
        "log.dirs": ",".join(map(str, folders.values())),
        "log.segment.delete.delay.ms": "0",
    }
    configs = {"segment.bytes": str(1 << 20), "flush.messages": flush_messages}
    log = KeyedLog("clicks")
    with BrokerProcess(tmp_path, config=config) as broker:
        with Requester(broker.port) as requester:
            assert create_topic(requester, "clicks", configs=configs)[0] == NONE
            for _ in range(40):
                log.step(requester, chance)
        for _ in range(CYCLES):
            with Requester(broker.port) as requester, killed_soon(broker, chance):
                target = {"one": "two", "two": "one"}[whereabouts(requester)[False]]
                begin_move(requester, folders[target])
                while True:
                    log.step(requester, chance)
            broker.start()
            with Requester(broker.port) as requester:
                found = log.read(requester)
                log.settle_unanswered(found)
                assert found == log.acknowledged
                wait_until(lambda: list(whereabouts(requester)) == [False], "the move goes on")
                assert log.read(requester) == log.acknowledged
        assert broker.terminate() == 0
    for folder in folders.values():
        assert [found for found in verify_log_dir(folder) if found.severity == "error"] == []
        assert not list(folder.glob("*-future"))
