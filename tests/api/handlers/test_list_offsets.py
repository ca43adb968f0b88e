"""ListOffsets and OffsetForLeaderEpoch."""

from typing import Any

import pytest

from tests.support.in_process_broker import InProcessBroker, batch_of, produce_body
from tests.support.requests import Requester

T0 = 1_700_000_000_000


def list_offset(
    client: Requester, topic: str, timestamp: int, *, api_version: int = 11, **fields: Any
) -> dict[str, Any]:
    partition = {"partition_index": 0, "timestamp": timestamp, **fields}
    body = {"replica_id": -1, "topics": [{"name": topic, "partitions": [partition]}]}
    first: dict[str, Any] = client.ask(2, api_version, body)["topics"][0]["partitions"][0]
    return first


@pytest.fixture
def filled(client: Requester, topic: str) -> str:
    """Six records in two batches, not in order of time."""
    for times in ((10, 40, 20), (30, 60, 50)):
        batch = batch_of(b"a", b"b", b"c", timestamps=[T0 + time for time in times])
        answer = client.ask(0, 9, produce_body(topic, batch))
        assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0
    return topic


@pytest.mark.parametrize("api_version", range(1, 12))
def test_ends_of_the_log_in_every_version(client: Requester, filled: str, api_version: int) -> None:
    for timestamp, offset in ((-1, 6), (-2, 0)):
        answer = list_offset(client, filled, timestamp, api_version=api_version)
        assert (answer["error_code"], answer["offset"], answer["timestamp"]) == (0, offset, -1)


@pytest.mark.parametrize(
    ("time", "offset", "found"),
    [(0, 0, 10), (10, 0, 10), (11, 1, 40), (41, 4, 60), (60, 4, 60), (61, -1, None)],
)
def test_time_finds_the_earliest_record_not_before_it(
    client: Requester, filled: str, time: int, offset: int, found: int | None
) -> None:
    answer = list_offset(client, filled, T0 + time)
    assert answer["error_code"] == 0
    assert answer["offset"] == offset
    assert answer["timestamp"] == (-1 if found is None else T0 + found)


@pytest.mark.parametrize(("timestamp", "first_version"), [(-3, 7), (-4, 8), (-5, 9), (-6, 11)])
def test_special_times_begin_with_their_version(
    client: Requester, filled: str, timestamp: int, first_version: int
) -> None:
    before = list_offset(client, filled, timestamp, api_version=first_version - 1)
    assert before["error_code"] == 35
    assert list_offset(client, filled, timestamp, api_version=first_version)["error_code"] == 0


def test_newest_timestamp_local_start_and_tiered_end(client: Requester, filled: str) -> None:
    newest = list_offset(client, filled, -3)
    assert (newest["offset"], newest["timestamp"]) == (4, T0 + 60)
    assert list_offset(client, filled, -4)["offset"] == 0
    assert list_offset(client, filled, -5)["offset"] == -1


def test_empty_log_has_ends_and_no_newest_record(client: Requester, topic: str) -> None:
    assert list_offset(client, topic, -1)["offset"] == 0
    assert list_offset(client, topic, -2)["offset"] == 0
    newest = list_offset(client, topic, -3)
    assert (newest["error_code"], newest["offset"], newest["timestamp"]) == (0, -1, -1)


def test_epochs_are_those_of_the_offset_and_fence(
    broker: InProcessBroker, client: Requester, filled: str
) -> None:
    epoch = broker.broker.replicas.partition(filled, 0).leader_epoch
    assert list_offset(client, filled, -1)["leader_epoch"] == epoch
    assert list_offset(client, filled, T0)["leader_epoch"] == epoch
    for told, error_code in ((epoch, 0), (epoch + 1, 75)):
        answer = list_offset(client, filled, -1, current_leader_epoch=told)
        assert answer["error_code"] == error_code


def test_unknown_partition_and_one_named_twice(client: Requester, topic: str) -> None:
    assert list_offset(client, "unknown", -1)["error_code"] == 3
    partition = {"partition_index": 0, "timestamp": -1}
    body = {"replica_id": -1, "topics": [{"name": topic, "partitions": [partition, partition]}]}
    answers = client.ask(2, 5, body)["topics"][0]["partitions"]
    assert [answer["error_code"] for answer in answers] == [42, 42]


@pytest.mark.parametrize("api_version", [2, 3, 4])
def test_offset_for_leader_epoch(
    broker: InProcessBroker, client: Requester, filled: str, api_version: int
) -> None:
    epoch = broker.broker.replicas.partition(filled, 0).leader_epoch

    def ask(leader_epoch: int, current: int = -1, topic: str = filled) -> tuple[int, int, int]:
        partition = {
            "partition": 0,
            "leader_epoch": leader_epoch,
            "current_leader_epoch": current,
        }
        body = {"topics": [{"topic": topic, "partitions": [partition]}]}
        answer = client.ask(23, api_version, body)["topics"][0]["partitions"][0]
        return answer["error_code"], answer["leader_epoch"], answer["end_offset"]

    assert ask(epoch) == (0, epoch, 6)
    assert ask(epoch + 1) == (0, -1, -1)
    assert ask(epoch, current=epoch + 1)[0] == 75
    assert ask(epoch, topic="unknown") == (3, -1, -1)
