"""Committed offsets over kills, expiry and compaction of __consumer_offsets, request by request."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.api.wire.api_keys import ApiKey
from tests.support.broker_process import BrokerProcess
from tests.support.requests import Requester

DEADLINE_S = 60
GROUPS = [f"group-{number}" for number in range(7)]
NOT_READY = {14, 15, 16}  # loading, not available, not coordinator: a client asks again


def commit(
    requester: Requester, group: str, offset: int, *, version: int = 9, **fields: Any
) -> None:
    partition = {
        "partition_index": 0,
        "committed_offset": offset,
        "committed_metadata": f"note {offset}",
    }
    body = {
        "group_id": group,
        "member_id": "",
        "generation_id_or_member_epoch": -1,
        "topics": [{"name": "clicks", "partitions": [partition]}],
        **fields,
    }
    answer = requester.ask(ApiKey.OFFSET_COMMIT, version, body)
    assert answer["topics"][0]["partitions"][0]["error_code"] == 0, answer


def fetch(requester: Requester, group: str) -> tuple[int, str]:
    """The committed offset and its note; asks again while the coordinator loads."""
    topics = [{"name": "clicks", "partition_indexes": [0]}]
    body = {"groups": [{"group_id": group, "topics": topics}], "require_stable": True}
    deadline = time.monotonic() + DEADLINE_S
    while True:
        (answer,) = requester.ask(ApiKey.OFFSET_FETCH, 9, body)["groups"]
        if answer["error_code"] not in NOT_READY:
            break
        assert time.monotonic() < deadline, answer
    assert answer["error_code"] == 0
    (partition,) = answer["topics"][0]["partitions"]
    return partition["committed_offset"], partition["metadata"]


def find_coordinator(requester: Requester) -> None:
    """Have __consumer_offsets made, and wait until its partitions are loaded."""
    asked = {"key_type": 0, "coordinator_keys": ["g"]}

    def is_found() -> bool:
        (answer,) = requester.ask(ApiKey.FIND_COORDINATOR, 4, asked)["coordinators"]
        return bool(answer["error_code"] == 0)

    wait_for(is_found, lambda: "no coordinator")
    for group in (*GROUPS, "keeps", "loses", "early", "late"):
        fetch(requester, group)


def wait_for(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def test_every_acknowledged_commit_is_there_after_a_kill(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, topics={"clicks": 1}) as broker:
        with Requester(broker.port) as requester:
            find_coordinator(requester)
        for cycle in range(4):
            with Requester(broker.port) as requester:
                for number in range(cycle * 50, cycle * 50 + 50):
                    for group in GROUPS:
                        commit(requester, group, number)
                last = cycle * 50 + 49
                broker.restart()
            with Requester(broker.port) as requester:
                found = {fetch(requester, group) for group in GROUPS}
                assert found == {(last, f"note {last}")}


def test_an_offset_with_a_retention_of_its_own_expires_for_good(tmp_path: Path) -> None:
    config = {"offsets.retention.check.interval.ms": "50"}
    with BrokerProcess(tmp_path, topics={"clicks": 1}, config=config) as broker:
        with Requester(broker.port) as requester:
            find_coordinator(requester)
            commit(requester, "keeps", 5)
            commit(requester, "loses", 5, version=3, retention_time_ms=200)
            wait_for(lambda: fetch(requester, "loses")[0] == -1, lambda: "it is still there")
            assert fetch(requester, "keeps")[0] == 5
            broker.restart()
        with Requester(broker.port) as requester:
            assert fetch(requester, "loses")[0] == -1
            assert fetch(requester, "keeps")[0] == 5


def test_compaction_keeps_the_last_commit_of_each_group(tmp_path: Path) -> None:
    config = {
        "offsets.topic.num.partitions": "1",
        "offsets.topic.segment.bytes": str(1 << 20),
        "log.cleaner.backoff.ms": "100",
        "log.cleaner.min.cleanable.ratio": "0.01",
    }
    with BrokerProcess(tmp_path, topics={"clicks": 1}, config=config) as broker:
        folder = broker.data / "__consumer_offsets-0"

        def sizes() -> list[int]:
            found = []
            for path in sorted(folder.glob("*.log")):
                with contextlib.suppress(FileNotFoundError):  # compaction replaces it just now
                    found.append(path.stat().st_size)
            return found

        with Requester(broker.port) as requester:
            find_coordinator(requester)
            commit(requester, "early", 1)
            for number in range(9_000):
                commit(requester, "late", number)
            wait_for(lambda: len(sizes()) > 1 and sizes()[0] < 1_000, sizes)
            broker.restart()
        with Requester(broker.port) as requester:
            assert fetch(requester, "early") == (1, "note 1")
            assert fetch(requester, "late") == (8_999, "note 8999")
