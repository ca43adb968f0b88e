"""Faults on demand, as unmodified clients meet them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, NewTopic

import headrace
from headrace.api.embedded.fault_answers import ERROR_ANSWERS
from headrace.api.wire.api_keys import ApiKey
from tests.support.requests import Requester

DEADLINE_S = 60


@pytest.fixture(scope="module")
def shared() -> Iterator[headrace.Broker]:
    with headrace.Broker() as running:
        yield running


@pytest.fixture
def broker(shared: headrace.Broker) -> Iterator[headrace.Broker]:
    yield shared
    shared.reset()


def produce(broker: headrace.Broker, value: bytes, **settings: Any) -> list[KafkaError | None]:
    """One record to `clicks`; what its delivery report says."""
    reports: list[KafkaError | None] = []
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "linger.ms": 0, "retry.backoff.ms": 10}
        | {name.replace("_", "."): each for name, each in settings.items()}
    )
    producer.produce("clicks", value, on_delivery=lambda error, _: reports.append(error))
    assert producer.flush(DEADLINE_S) == 0
    return reports


def values(broker: headrace.Broker) -> list[bytes | None]:
    return [record.value for record in broker.records("clicks")]


def consumer_of(broker: headrace.Broker, group: str = "readers") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "retry.backoff.ms": 10,
        }
    )


def test_a_retriable_error_is_retried_and_a_final_one_reported(broker: headrace.Broker) -> None:
    broker.create_topic("clicks")
    broker.faults.fail("Produce", "NOT_LEADER_OR_FOLLOWER", times=2)
    assert produce(broker, b"a") == [None]
    assert broker.faults.unspent == 0
    assert values(broker) == [b"a"]
    broker.faults.fail("produce", "MESSAGE_TOO_LARGE", topic="clicks")
    broker.faults.fail("produce", "MESSAGE_TOO_LARGE", topic="another")
    (error,) = produce(broker, b"b")
    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert (values(broker), broker.faults.unspent) == ([b"a"], 1)


def test_a_request_dropped_after_the_append_is_there_once_for_an_idempotent_producer(
    broker: headrace.Broker,
) -> None:
    broker.create_topic("clicks")
    broker.faults.drop_after("Produce")
    assert produce(broker, b"a", enable_idempotence=True) == [None]
    assert values(broker) == [b"a"]
    broker.faults.drop_after("Produce")
    assert produce(broker, b"b", enable_idempotence=False) == [None]
    assert values(broker) == [b"a", b"b", b"b"]


def test_a_request_dropped_before_the_append_is_sent_again(broker: headrace.Broker) -> None:
    broker.create_topic("clicks")
    broker.faults.drop_before("Produce")
    assert produce(broker, b"a", retries=0)[0] is not None
    assert values(broker) == []
    broker.faults.drop_before("Produce")
    assert produce(broker, b"b") == [None]
    assert values(broker) == [b"b"]


def test_a_delayed_request_is_handled_late(broker: headrace.Broker) -> None:
    broker.create_topic("clicks")
    broker.faults.delay("Produce", 0.3)
    started = time.perf_counter()
    assert produce(broker, b"a") == [None]
    assert time.perf_counter() - started >= 0.3
    assert values(broker) == [b"a"]


def test_consumers_survive_errors_of_every_step(broker: headrace.Broker) -> None:
    broker.create_topic("clicks").append_many([b"a", b"b"])
    faults = broker.faults
    faults.refuse_to_coordinate(times=2)
    faults.fail("JoinGroup", "COORDINATOR_LOAD_IN_PROGRESS")
    faults.fail("SyncGroup", "REBALANCE_IN_PROGRESS")
    faults.fail("OffsetFetch", "COORDINATOR_LOAD_IN_PROGRESS")
    faults.fail("ListOffsets", "LEADER_NOT_AVAILABLE")
    faults.fail("Fetch", "NOT_LEADER_OR_FOLLOWER")
    consumer = consumer_of(broker)
    try:
        consumer.subscribe(["clicks"])
        messages = consumer.consume(2, DEADLINE_S)
        assert [message.value() for message in messages] == [b"a", b"b"]
    finally:
        consumer.close()
    assert faults.unspent == 0


def test_a_commit_is_tried_again_where_the_coordinator_moved(broker: headrace.Broker) -> None:
    broker.create_topic("clicks").append(b"a")
    consumer = consumer_of(broker)
    try:
        consumer.assign([Place("clicks", 0, 0)])
        assert consumer.consume(1, DEADLINE_S)
        broker.faults.fail("OffsetCommit", "NOT_COORDINATOR")
        consumer.commit(offsets=[Place("clicks", 0, 1)], asynchronous=False)
        assert broker.committed("readers", "clicks") == 1
    finally:
        consumer.close()
    assert broker.faults.unspent == 0


def test_a_forced_rebalance_reaches_the_member(broker: headrace.Broker) -> None:
    broker.create_topic("clicks").append(b"a")
    assigned: list[list[Place]] = []
    consumer = consumer_of(broker)
    try:
        consumer.subscribe(["clicks"], on_assign=lambda _, places: assigned.append(places))
        assert consumer.consume(1, DEADLINE_S)
        broker.force_rebalance("readers")
        for _ in range(300):
            consumer.poll(0.2)
            if len(assigned) == 2:
                break
        assert len(assigned) == 2
    finally:
        consumer.close()


def test_a_deposed_leader_refuses_until_it_is_restored(broker: headrace.Broker) -> None:
    broker.create_topic("clicks")
    broker.depose_leader("clicks")
    reports = produce(broker, b"a", message_timeout_ms=300)
    assert reports[0] is not None
    broker.restore_leader("clicks")
    assert produce(broker, b"b") == [None]
    assert values(broker) == [b"b"]


def test_the_clock_jumps_and_retention_sees_it(broker: headrace.Broker) -> None:
    clicks = broker.create_topic("clicks", config={"retention.ms": 60_000})
    clicks.append(b"old")
    broker.advance_clock(120_000)
    assert values(broker) == []
    offset = clicks.append(b"new")
    assert offset == 1
    assert values(broker) == [b"new"]
    with pytest.raises(ValueError, match="back"):
        broker.advance_clock(-1)


def test_creating_a_topic_may_fail(broker: headrace.Broker) -> None:
    broker.faults.fail("CreateTopics", "POLICY_VIOLATION", topic="clicks")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    with pytest.raises(KafkaException, match="POLICY_VIOLATION"):
        admin.create_topics([NewTopic("clicks", 1)])["clicks"].result(DEADLINE_S)
    assert "clicks" not in broker.store


def test_a_crash_keeps_what_was_written_and_a_power_cut_what_was_synced() -> None:
    with headrace.Broker(topics=["clicks"]) as broker:
        clicks = broker.store["clicks"]
        clicks.append_many([b"synced"] * 3, durability="fsync")
        clicks.append(b"written")
        broker.crash()
        assert values(broker) == [b"synced"] * 3 + [b"written"]
        broker.store["clicks"].append(b"lost")
        broker.store["clicks"].append_many([b"lost"] * 100)
        before = broker.bootstrap
        broker.crash(lose_unflushed=True)
        assert broker.bootstrap == before
        assert values(broker) == [b"synced"] * 3
        assert produce(broker, b"after") == [None]
        assert values(broker)[-1] == b"after"
        assert broker.store.verify() == []


@pytest.mark.parametrize("api", sorted(ERROR_ANSWERS), ids=lambda api: api.name)
def test_every_error_answer_fits_every_version_of_its_api(
    broker: headrace.Broker, api: ApiKey
) -> None:
    """Encoders refuse undeclared names in tests, so a body that does not fit fails here."""
    from headrace.api.handlers.routes import ROUTES
    from headrace.api.wire.registry import schema_versions

    route = ROUTES[api]
    with Requester(broker.port) as requester:
        for version in range(
            max(route.min_version, schema_versions(api)[0]), route.max_version + 1
        ):
            broker.faults.fail(api.name, "UNKNOWN_SERVER_ERROR")
            request = SAMPLE_REQUESTS.get(api, {})
            answer = requester.ask(api, version, request)
            assert "-1" in str(answer), (version, answer)
            assert broker.faults.unspent == 0


SAMPLE_REQUESTS: dict[ApiKey, dict[str, Any]] = {
    ApiKey.PRODUCE: {
        "acks": 1,
        "topic_data": [{"name": "a", "partition_data": [{"index": 0, "records": b""}]}],
    },
    ApiKey.FETCH: {"topics": [{"topic": "a", "partitions": [{"partition": 0}]}]},
    ApiKey.LIST_OFFSETS: {"topics": [{"name": "a", "partitions": [{"partition_index": 0}]}]},
    ApiKey.OFFSET_COMMIT: {
        "group_id": "g",
        "topics": [{"name": "a", "partitions": [{"partition_index": 0}]}],
    },
    ApiKey.OFFSET_FETCH: {
        "group_id": "g",
        "topics": [{"name": "a", "partition_indexes": [0]}],
        "groups": [{"group_id": "g"}],
    },
    ApiKey.FIND_COORDINATOR: {"key": "g", "coordinator_keys": ["g"]},
    ApiKey.CREATE_TOPICS: {"topics": [{"name": "a"}]},
}


def test_faults_that_cannot_be_are_refused_by_name() -> None:
    faults = headrace.Broker().faults
    with pytest.raises(ValueError, match="no API 'Produse'"):
        faults.fail("Produse", "NOT_COORDINATOR")
    with pytest.raises(ValueError, match="no error code 'NOPE'"):
        faults.fail("Produce", "NOPE")
    with pytest.raises(ValueError, match="these can: CreateTopics"):
        faults.fail("ApiVersions", "NOT_COORDINATOR")
    with pytest.raises(ValueError, match="at least once"):
        faults.delay("Produce", 1, times=0)
    assert faults.unspent == 0
