"""InitProducerId and DescribeProducers."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.handlers.producers import handle_describe_producers, handle_init_producer_id
from headrace.api.wire.error_codes import ErrorCode
from headrace.raft.errors import UnknownTopicOrPartitionError
from tests.support.admin_broker import AdminBroker, ask_now


@pytest.mark.parametrize("version", range(6))
def test_each_producer_gets_an_id_of_its_own_at_epoch_zero(version: int) -> None:
    broker = AdminBroker()
    request = {"transactional_id": None, "transaction_timeout_ms": 1}
    answers = [ask_now(broker, handle_init_producer_id, 22, version, request) for _ in range(2)]
    assert [each["error_code"] for each in answers] == [0, 0]
    assert [each["producer_id"] for each in answers] == [0, 1]
    assert [each["producer_epoch"] for each in answers] == [0, 0]


def test_transactional_id_is_refused_for_good_and_said_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = {"transactional_id": "tx", "transaction_timeout_ms": 1}
    with caplog.at_level(logging.WARNING):
        answer = ask_now(AdminBroker(), handle_init_producer_id, 22, 5, request)
    assert ErrorCode(answer["error_code"]) == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert not ErrorCode(answer["error_code"]).is_retriable
    assert (answer["producer_id"], answer["producer_epoch"]) == (-1, -1)
    assert "transactional.id=tx" in caplog.text


def test_empty_transactional_id_is_an_invalid_request() -> None:
    request = {"transactional_id": "", "transaction_timeout_ms": 1}
    answer = ask_now(AdminBroker(), handle_init_producer_id, 22, 5, request)
    assert ErrorCode(answer["error_code"]) == ErrorCode.INVALID_REQUEST


class Partitions:
    """One partition with one producer; as replica manager and log manager in one."""

    def partition(self, topic: str, index: int) -> None:
        if index > 1:
            raise UnknownTopicOrPartitionError(f"no partition {topic}-{index}")

    def get_log(self, topic: str, index: int) -> Any:
        if index == 1:
            return None
        producer = SimpleNamespace(
            producer_id=7,
            producer_epoch=1,
            last_sequence=41,
            last_timestamp=1000,
            coordinator_epoch=-1,
            current_txn_start_offset=-1,
        )
        return SimpleNamespace(active_producers=lambda: [producer])


def test_producers_of_a_partition_are_described() -> None:
    broker = SimpleNamespace(replicas=Partitions(), log_manager=Partitions())
    request = {"topics": [{"name": "clicks", "partition_indexes": [0, 5, 1]}]}
    answer = ask_now(broker, handle_describe_producers, 61, 0, request)
    known, unknown, offline = answer["topics"][0]["partitions"]
    (producer,) = known["active_producers"]
    assert (producer["producer_id"], producer["last_sequence"]) == (7, 41)
    assert ErrorCode(unknown["error_code"]) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert unknown["error_message"]
    assert ErrorCode(offline["error_code"]) == ErrorCode.NOT_LEADER_OR_FOLLOWER
