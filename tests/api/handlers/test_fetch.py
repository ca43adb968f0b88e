"""Fetch: what is read, when it is answered, and what a client is told."""

import threading
from pathlib import Path
from typing import Any

import pytest

from headrace.core.record_batch import iter_batches
from tests.api.handlers.test_list_offsets import list_offset
from tests.support.in_process_broker import InProcessBroker, batch_of, fetch_body, produce_body
from tests.support.requests import Requester


def produce(client: Requester, topic: str, *values: bytes, **fields: Any) -> None:
    """One batch a value, to partition 0."""
    for value in values:
        answer = client.ask(0, 9, produce_body(topic, batch_of(value, **fields)))
        assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0


def fetch(
    client: Requester, topic: str, *offsets: int, api_version: int = 12, **fields: Any
) -> list[dict[str, Any]]:
    """The answers of the partitions."""
    answer = client.ask(1, api_version, fetch_body(topic, *offsets, **fields))
    assert (answer["error_code"], answer["session_id"]) == (0, 0)
    partitions: list[dict[str, Any]] = answer["responses"][0]["partitions"]
    return partitions


def values(records: bytes) -> list[bytes | None]:
    return [record.value for batch in iter_batches(records) for record in batch.records()]


@pytest.mark.parametrize("api_version", range(4, 13))
def test_every_version_by_name_gives_the_records(
    client: Requester, topic: str, api_version: int
) -> None:
    produce(client, topic, b"a", b"b")
    (answer,) = fetch(client, topic, 0, api_version=api_version)
    assert values(answer["records"]) == [b"a", b"b"]
    assert (answer["high_watermark"], answer["last_stable_offset"]) == (2, 2)
    assert answer["aborted_transactions"] is None
    if api_version >= 11:
        assert answer["preferred_read_replica"] == -1


@pytest.mark.parametrize("api_version", range(13, 18))
def test_every_version_by_id_gives_the_records(
    broker: InProcessBroker, client: Requester, topic: str, api_version: int
) -> None:
    produce(client, topic, b"a")
    topic_id = broker.broker.cluster_state.topics[topic].topic_id
    fields = {"topic_fields": {"topic_id": topic_id}}
    (answer,) = fetch(client, topic, 0, api_version=api_version, **fields)
    assert values(answer["records"]) == [b"a"]


def test_unknown_id_is_unknown_although_a_topic_of_that_name_exists(
    client: Requester, topic: str
) -> None:
    fields = {"topic_fields": {"topic_id": b"x" * 16, "topic": topic}}
    (answer,) = fetch(client, topic, 0, api_version=16, **fields)
    assert answer["error_code"] == 100


def test_unknown_topic_and_partition(client: Requester, topic: str) -> None:
    assert fetch(client, "unknown", 0)[0]["error_code"] == 3
    assert [answer["error_code"] for answer in fetch(client, topic, 0, 0, 0)] == [0, 0, 3]


def test_nothing_there_is_an_empty_field_and_no_error(client: Requester, topic: str) -> None:
    produce(client, topic, b"a")
    (answer,) = fetch(client, topic, 1)
    assert answer["error_code"] == 0
    assert answer["records"] is not None
    assert bytes(answer["records"]) == b""


@pytest.mark.parametrize("offset", [-1, -2, 2, 1 << 40])
def test_offset_outside_the_log_is_out_of_range(client: Requester, topic: str, offset: int) -> None:
    produce(client, topic, b"a")
    (answer,) = fetch(client, topic, offset, max_wait_ms=5000)
    assert (answer["error_code"], answer["high_watermark"]) == (1, -1)


def test_batch_is_returned_whole_from_any_offset_in_it(client: Requester, topic: str) -> None:
    client.ask(0, 9, produce_body(topic, batch_of(b"a", b"b", b"c")))
    (answer,) = fetch(client, topic, 2)
    assert values(answer["records"]) == [b"a", b"b", b"c"]


def test_first_batch_is_whole_whatever_the_limits_are(client: Requester, topic: str) -> None:
    produce(client, topic, bytes(5000), bytes(5000))
    (answer,) = fetch(client, topic, 0, max_bytes=10, partition_max_bytes=10)
    assert values(answer["records"]) == [bytes(5000)]


def test_limits_hold_after_the_first_batch_and_no_partition_starves(
    client: Requester, topic: str
) -> None:
    client.ask(0, 9, produce_body(topic, batch_of(bytes(5000)), batch_of(bytes(5000))))
    served = set()
    for _ in range(4):
        answers = fetch(client, topic, 0, 0, max_bytes=1000)
        with_data = [index for index in (0, 1) if len(answers[index]["records"])]
        assert len(with_data) == 1
        served.update(with_data)
    assert served == {0, 1}


def test_empty_log_waits_for_max_wait(client: Requester, topic: str) -> None:
    (answer,) = fetch(client, topic, 0, max_wait_ms=50)
    assert (answer["error_code"], bytes(answer["records"])) == (0, b"")


def test_request_without_partitions_is_answered_at_once(client: Requester) -> None:
    body = {"max_wait_ms": 60_000, "min_bytes": 1, "topics": []}
    assert client.ask(1, 12, body)["responses"] == []


def test_error_in_one_partition_is_told_at_once(client: Requester, topic: str) -> None:
    answers = fetch(client, topic, 0, 99, max_wait_ms=60_000)
    assert [answer["error_code"] for answer in answers] == [0, 1]


def test_waiting_fetch_is_woken_by_any_of_its_partitions(
    broker: InProcessBroker, client: Requester, topic: str
) -> None:
    correlation_id = client.send(1, 12, fetch_body(topic, 0, 0, max_wait_ms=60_000))
    with broker.requester() as producer:
        producer.ask(0, 9, produce_body(topic, batch_of(b"news"), partition=1))
    answers = client.receive(1, 12, correlation_id)["responses"][0]["partitions"]
    assert [values(answer["records"]) for answer in answers] == [[], [b"news"]]


def test_waiting_fetch_counts_until_min_bytes_are_there(
    broker: InProcessBroker, client: Requester, topic: str
) -> None:
    body = fetch_body(topic, 0, max_wait_ms=60_000, min_bytes=2500)
    correlation_id = client.send(1, 12, body)
    with broker.requester() as producer:
        for _ in range(3):
            produce(producer, topic, bytes(1000))
    (answer,) = client.receive(1, 12, correlation_id)["responses"][0]["partitions"]
    assert len(values(answer["records"])) == 3


def test_later_requests_of_a_waiting_connection_are_answered_behind(
    broker: InProcessBroker, client: Requester, topic: str
) -> None:
    waiting = client.send(1, 12, fetch_body(topic, 0, max_wait_ms=60_000))
    behind = client.send(18, 0, {})
    with broker.requester() as producer:
        produce(producer, topic, b"news")
    assert client.receive(1, 12, waiting)["error_code"] == 0
    assert client.receive(18, 0, behind)["error_code"] == 0


def test_deleted_topic_wakes_who_waits(
    broker: InProcessBroker, client: Requester, topic: str
) -> None:
    correlation_id = client.send(1, 12, fetch_body(topic, 0, max_wait_ms=60_000))
    with broker.requester() as other:
        other.ask(18, 0, {})
        broker.delete_topic(topic)
    (answer,) = client.receive(1, 12, correlation_id)["responses"][0]["partitions"]
    assert answer["error_code"] == 3


def test_clients_that_leave_while_waiting_leave_nothing_behind(
    broker: InProcessBroker, topic: str
) -> None:
    partition = broker.broker.replicas.partition(topic, 0)
    gone = [broker.requester() for _ in range(5)]
    for client in gone:
        client.send(1, 12, fetch_body(topic, 0, max_wait_ms=600_000))
    broker.wait_until(lambda: len(partition._fetch_waiters) == 5)
    for client in gone:
        client.close()
    broker.wait_until(lambda: len(partition._fetch_waiters) == 0)


def test_epochs_fence(tmp_path: Path) -> None:
    with InProcessBroker(tmp_path) as broker:
        broker.create_topic("fenced")
        broker.restart()
        epoch = broker.broker.replicas.partition("fenced", 0).leader_epoch
        assert epoch > 0
        with broker.requester() as client:
            for told, error_code in ((epoch, 0), (epoch - 1, 74), (epoch + 1, 75), (-1, 0)):
                fields: dict[str, Any] = {"partition_fields": {"current_leader_epoch": told}}
                fields["max_wait_ms"] = 60_000 if error_code else 0  # an error is told at once
                assert fetch(client, "fenced", 0, **fields)[0]["error_code"] == error_code
                answer = list_offset(client, "fenced", -1, current_leader_epoch=told)
                assert answer["error_code"] == error_code


def test_diverging_epoch_is_told_at_once(
    broker: InProcessBroker, client: Requester, topic: str
) -> None:
    produce(client, topic, b"a")
    epoch = broker.broker.replicas.partition(topic, 0).leader_epoch
    fields: dict[str, Any] = {"partition_fields": {"last_fetched_epoch": epoch}}
    (answer,) = fetch(client, topic, 5, max_wait_ms=60_000, **fields)
    assert answer["diverging_epoch"] == {"epoch": epoch, "end_offset": 1}
    assert bytes(answer["records"]) == b""


def test_zstd_needs_version_10(client: Requester, topic: str) -> None:
    produce(client, topic, b"v" * 100, compression="zstd")
    assert fetch(client, topic, 0, api_version=9)[0]["error_code"] == 76
    assert fetch(client, topic, 0, api_version=10)[0]["error_code"] == 0


def test_read_committed_gets_a_list_of_aborted_transactions(client: Requester, topic: str) -> None:
    produce(client, topic, b"a")
    (answer,) = fetch(client, topic, 0, isolation_level=1)
    assert answer["aborted_transactions"] == []
    assert values(answer["records"]) == [b"a"]


def test_many_waiting_fetches_are_all_answered(broker: InProcessBroker, topic: str) -> None:
    answers: list[list[bytes | None]] = []

    def wait_for_news(client: Requester) -> None:
        with client:
            (answer,) = fetch(client, topic, 0, max_wait_ms=60_000)
            answers.append(values(answer["records"]))

    threads = [
        threading.Thread(target=wait_for_news, args=(broker.requester(),)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    with broker.requester() as producer:
        produce(producer, topic, b"news")
    for thread in threads:
        thread.join(60)
    assert answers == [[b"news"]] * 20
