"""Produce: what is acknowledged, what is refused and how."""

from typing import Any

import pytest

from tests.support.in_process_broker import InProcessBroker, batch_of, fetch_body, produce_body
from tests.support.requests import Requester


def ask(client: Requester, body: dict[str, Any], api_version: int = 9) -> dict[str, Any]:
    """The answer for the first partition."""
    answer: dict[str, Any] = client.ask(0, api_version, body)
    first: dict[str, Any] = answer["responses"][0]["partition_responses"][0]
    return first


@pytest.mark.parametrize("api_version", range(3, 12))
def test_every_version_gives_the_base_offset(
    client: Requester, topic: str, api_version: int
) -> None:
    for base_offset in (0, 2):
        answer = ask(client, produce_body(topic, batch_of(b"a", b"b")), api_version)
        assert (answer["error_code"], answer["base_offset"]) == (0, base_offset)
        assert answer["log_append_time_ms"] == -1


@pytest.mark.parametrize("acks", [1, -1])
def test_answered_record_is_fetchable(client: Requester, topic: str, acks: int) -> None:
    ask(client, produce_body(topic, batch_of(b"v"), acks=acks))
    fetched = client.ask(1, 12, fetch_body(topic, 0))["responses"][0]["partitions"][0]
    assert fetched["high_watermark"] == 1
    assert b"v" in bytes(fetched["records"])


def test_acks_0_is_not_answered(client: Requester, topic: str) -> None:
    client.send(0, 9, produce_body(topic, batch_of(b"v"), acks=0))
    assert client.ask(18, 0, {})["error_code"] == 0
    listed = client.ask(2, 1, list_end(topic))
    assert listed["topics"][0]["partitions"][0]["offset"] == 1


def list_end(topic: str) -> dict[str, Any]:
    partition = {"partition_index": 0, "timestamp": -1}
    return {"replica_id": -1, "topics": [{"name": topic, "partitions": [partition]}]}


def test_acks_0_with_an_error_closes_the_connection(client: Requester) -> None:
    client.send(0, 9, produce_body("unknown", batch_of(b"v"), acks=0))
    assert client.is_closed_by_peer()


@pytest.mark.parametrize("acks", [2, -2, 32767])
def test_other_acks_are_refused(client: Requester, topic: str, acks: int) -> None:
    assert ask(client, produce_body(topic, batch_of(b"v"), acks=acks))["error_code"] == 21


def test_unknown_topic_and_partition(client: Requester, topic: str) -> None:
    answer = ask(client, produce_body("unknown", batch_of(b"v")))
    assert (answer["error_code"], answer["base_offset"]) == (3, -1)
    assert ask(client, produce_body(topic, batch_of(b"v"), partition=7))["error_code"] == 3


def test_bad_partition_does_not_fail_the_good_one(client: Requester, topic: str) -> None:
    broken = bytearray(batch_of(b"v"))
    broken[-1] ^= 1
    body = produce_body(topic, bytes(broken), batch_of(b"v"))
    answers = client.ask(0, 9, body)["responses"][0]["partition_responses"]
    assert [answer["error_code"] for answer in answers] == [2, 0]


@pytest.mark.parametrize("records", [None, b""])
def test_partition_without_records_is_refused(
    client: Requester, topic: str, records: bytes | None
) -> None:
    body = produce_body(topic, b"")
    body["topic_data"][0]["partition_data"][0]["records"] = records
    assert ask(client, body)["error_code"] == 87


def test_two_batches_for_a_partition_are_refused(client: Requester, topic: str) -> None:
    assert ask(client, produce_body(topic, batch_of(b"a") + batch_of(b"b")))["error_code"] == 87


def test_control_batch_of_a_client_is_refused(client: Requester, topic: str) -> None:
    control = batch_of(b"v", is_control=True, is_transactional=True, producer_id=1)
    assert ask(client, produce_body(topic, control))["error_code"] in (87, 48)


def test_batch_above_max_message_bytes_is_refused_alone(
    broker: InProcessBroker, client: Requester
) -> None:
    broker.create_topic("small-messages", 1, {"max.message.bytes": "500"})
    assert ask(client, produce_body("small-messages", batch_of(bytes(600))))["error_code"] == 10
    assert ask(client, produce_body("small-messages", batch_of(b"v")))["error_code"] == 0


def test_null_key_on_a_compacted_topic_names_the_record(
    broker: InProcessBroker, client: Requester
) -> None:
    broker.create_topic("compacted", 1, {"cleanup.policy": "compact"})
    batch = batch_of(b"a", b"b", b"c", keys=[b"k", None, b"k"])
    answer = ask(client, produce_body("compacted", batch))
    assert answer["error_code"] == 87
    assert [error["batch_index"] for error in answer["record_errors"]] == [1]
    assert answer["error_message"]


def test_log_append_time_is_told_and_stamped(broker: InProcessBroker, client: Requester) -> None:
    broker.create_topic("append-time", 1, {"message.timestamp.type": "LogAppendTime"})
    before = broker.broker.clock.now_ms()
    answer = ask(client, produce_body("append-time", batch_of(b"v")))
    assert before <= answer["log_append_time_ms"] <= broker.broker.clock.now_ms()


def test_timestamp_out_of_bounds_is_refused(broker: InProcessBroker, client: Requester) -> None:
    broker.create_topic("timely", 1, {"message.timestamp.after.max.ms": "1000"})
    far = broker.broker.clock.now_ms() + 3_600_000
    assert ask(client, produce_body("timely", batch_of(b"v", timestamps=[far])))["error_code"] == 32


def test_zstd_needs_version_7(client: Requester, topic: str) -> None:
    body = produce_body(topic, batch_of(b"v" * 100, compression="zstd"))
    assert ask(client, body, 6)["error_code"] == 76
    assert ask(client, body, 7)["error_code"] == 0


def test_same_batch_of_an_idempotent_producer_is_stored_once(client: Requester, topic: str) -> None:
    first = batch_of(b"a", b"b", producer_id=5000, producer_epoch=0, base_sequence=0)
    gap = batch_of(b"c", producer_id=5000, producer_epoch=0, base_sequence=3)
    old = batch_of(b"c", producer_id=5000, producer_epoch=0, base_sequence=2)
    newer = batch_of(b"c", producer_id=5000, producer_epoch=1, base_sequence=0)
    asked = [first, first, gap, newer, old]
    answers = [ask(client, produce_body(topic, batch)) for batch in asked]
    assert [answer["error_code"] for answer in answers] == [0, 0, 45, 0, 47]
    assert [answer["base_offset"] for answer in answers[:2]] == [0, 0]


@pytest.mark.parametrize("name", ["__consumer_offsets", "__transaction_state"])
def test_internal_topics_refuse_clients(
    broker: InProcessBroker, client: Requester, name: str
) -> None:
    broker.create_topic(name, 1)
    assert ask(client, produce_body(name, batch_of(b"v")))["error_code"] == 17


def test_acks_all_waits_for_the_disk_where_the_topic_says_so(
    broker: InProcessBroker, client: Requester
) -> None:
    broker.create_topic("synced", 1, {"flush.messages": "1"})
    answers = []
    for number in range(5):
        client.send(0, 9, produce_body("synced", batch_of(str(number).encode())))
    for number in range(5):
        answer = client.receive(0, 9, number + 1)
        answers.append(answer["responses"][0]["partition_responses"][0]["base_offset"])
    assert answers == [0, 1, 2, 3, 4]
    log = broker.broker.replicas.partition("synced", 0).log
    assert log is not None
    assert log.recovery_point == 5


def test_transactional_batch_is_refused_so_that_no_reader_waits_for_its_end(
    client: Requester, topic: str
) -> None:
    batch = batch_of(
        b"v", is_transactional=True, producer_id=6000, producer_epoch=0, base_sequence=0
    )
    assert ask(client, produce_body(topic, batch))["error_code"] == 48
    assert ask(client, produce_body(topic, batch_of(b"v")))["base_offset"] == 0


def sequence_of(*sequences: int, producer_id: int, producer_epoch: int = 0) -> list[bytes]:
    return [
        batch_of(
            b"%d" % sequence,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=sequence,
        )
        for sequence in sequences
    ]


def test_what_follows_a_refused_batch_waits_for_that_batch(
    broker: InProcessBroker, client: Requester
) -> None:
    first, second, third = sequence_of(0, 1, 2, producer_id=6000)

    def codes(*batches: bytes) -> list[int]:
        return [ask(client, produce_body("comes-later", each))["error_code"] for each in batches]

    assert codes(first) == [3]
    broker.create_topic("comes-later", 1)
    # The log remembers nothing of this producer: it would take the second, and never the first.
    assert codes(second, third) == [3, 3]
    assert codes(first, second, third, second) == [0, 0, 0, 0]
    end = client.ask(2, 1, list_end("comes-later"))["topics"][0]["partitions"][0]["offset"]
    assert end == 3


def test_refused_batch_that_its_client_gave_up_holds_nothing_back(
    broker: InProcessBroker, client: Requester
) -> None:
    first, second, third = sequence_of(5, 6, 7, producer_id=6001)
    (renewed,) = sequence_of(0, producer_id=6001, producer_epoch=1)
    (stranger,) = sequence_of(3, producer_id=6002)

    def code(batch: bytes) -> int:
        answer: int = ask(client, produce_body("given-up", batch))["error_code"]
        return answer

    assert code(first) == 3
    broker.create_topic("given-up", 1)
    assert code(stranger) == 0
    assert [code(second), code(third)] == [3, 3]
    assert [code(second), code(third)] == [0, 0]  # again, and without the first
    assert code(first) == 45
    assert code(renewed) == 0


def test_new_epoch_is_not_held_back_by_a_batch_of_the_old_one(
    broker: InProcessBroker, client: Requester
) -> None:
    (old,) = sequence_of(5, producer_id=6003)
    (renewed,) = sequence_of(0, producer_id=6003, producer_epoch=1)
    assert ask(client, produce_body("renewed", old))["error_code"] == 3
    broker.create_topic("renewed", 1)
    assert ask(client, produce_body("renewed", renewed))["error_code"] == 0
