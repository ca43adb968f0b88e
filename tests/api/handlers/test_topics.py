"""CreateTopics, DeleteTopics, CreatePartitions: each entry stands or falls alone."""

from typing import Any

import pytest

from headrace.api.broker_config import make_broker_config
from headrace.api.handlers.topics import (
    handle_create_partitions,
    handle_create_topics,
    handle_delete_topics,
)
from headrace.api.wire.error_codes import ErrorCode
from headrace.raft.cluster_commands import RegisterBroker
from tests.support.admin_broker import AdminBroker, ask_now


def spec(name: str, count: int = 1, factor: int = 1, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"assignments": [], "configs": []}
    return {"name": name, "num_partitions": count, "replication_factor": factor, **base, **more}


def create(
    broker: AdminBroker, *specs: dict[str, Any], version: int = 7, validate_only: bool = False
) -> list[dict[str, Any]]:
    request = {"topics": list(specs), "timeout_ms": 1000, "validate_only": validate_only}
    answer = ask_now(broker, handle_create_topics, 19, version, request)
    topics: list[dict[str, Any]] = answer["topics"]
    return topics


@pytest.mark.parametrize("version", range(2, 8))
def test_created_topic_is_in_the_cluster_state(version: int) -> None:
    broker = AdminBroker()
    (answer,) = create(broker, spec("clicks", 3), version=version)
    assert (answer["name"], answer["error_code"]) == ("clicks", 0)
    topic = broker.cluster_state.topics["clicks"]
    assert topic.assignments == ((1,), (1,), (1,))
    if version >= 5:
        assert (answer["num_partitions"], answer["replication_factor"]) == (3, 1)
        values = {each["name"]: each["value"] for each in answer["configs"]}
        assert values["cleanup.policy"] == "delete"
    if version >= 7:
        assert answer["topic_id"] == topic.topic_id


def test_minus_one_takes_the_brokers_defaults() -> None:
    broker = AdminBroker(make_broker_config({"num.partitions": "4"}))
    create(broker, spec("clicks", -1, -1))
    assert broker.cluster_state.topics["clicks"].partition_count == 4


def test_clamp_takes_scripts_that_ask_for_three_copies() -> None:
    broker = AdminBroker(make_broker_config({"headrace.replication.factor.clamp": "true"}))
    (answer,) = create(broker, spec("clicks", 1, 3))
    assert (answer["error_code"], answer["replication_factor"]) == (0, 1)


def test_a_broker_that_is_down_gets_a_copy_only_where_the_others_are_too_few() -> None:
    broker = AdminBroker()
    for broker_id in (2, 3):
        broker.cluster_state.apply(RegisterBroker(broker_id, 1, "localhost", 9092))
    broker.missing_ids = {2}
    codes = [each["error_code"] for each in create(broker, spec("two", 3, 2), spec("three", 1, 3))]
    assert codes == [ErrorCode.NONE, ErrorCode.NONE]
    topics = broker.cluster_state.topics
    assert [sorted(each) for each in topics["two"].assignments] == [[1, 3]] * 3
    (answer,) = grow(broker, {"name": "three", "count": 5, "assignments": None})
    assert answer["error_code"] == ErrorCode.NONE
    # Who is down stands last, so that it is no preferred leader.
    assert [(sorted(r[:2]), r[2]) for r in topics["three"].assignments] == [([1, 3], 2)] * 5
    (refused,) = create(broker, spec("four", 1, 4))
    assert refused["error_code"] == ErrorCode.INVALID_REPLICATION_FACTOR


def test_settings_of_the_topic_are_kept_and_told_with_their_source() -> None:
    broker = AdminBroker()
    configs = [{"name": "cleanup.policy", "value": "compact"}]
    (answer,) = create(broker, spec("state", configs=configs))
    assert broker.cluster_state.topics["state"].configs == {"cleanup.policy": "compact"}
    (entry,) = [each for each in answer["configs"] if each["name"] == "cleanup.policy"]
    assert (entry["value"], entry["config_source"]) == ("compact", 1)


def test_validate_only_creates_nothing() -> None:
    broker = AdminBroker()
    (answer,) = create(broker, spec("clicks", 2), validate_only=True)
    assert (answer["error_code"], answer["num_partitions"]) == (0, 2)
    assert not broker.cluster_state.topics


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (spec("there"), ErrorCode.TOPIC_ALREADY_EXISTS),
        (spec("a.b"), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (spec("no spaces"), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (spec(".."), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (spec("x" * 250), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (spec("new", 0), ErrorCode.INVALID_PARTITIONS),
        (spec("new", -2), ErrorCode.INVALID_PARTITIONS),
        (spec("new", 1, 0), ErrorCode.INVALID_REPLICATION_FACTOR),
        (spec("new", 1, 3), ErrorCode.INVALID_REPLICATION_FACTOR),
        (spec("new", configs=[{"name": "nope", "value": "1"}]), ErrorCode.INVALID_CONFIG),
        (spec("new", configs=[{"name": "retention.ms", "value": "x"}]), ErrorCode.INVALID_CONFIG),
        (spec("new", configs=[{"name": "retention.ms", "value": None}]), ErrorCode.INVALID_CONFIG),
        (
            spec("new", assignments=[{"partition_index": 0, "broker_ids": [1]}]),
            ErrorCode.INVALID_REQUEST,
        ),
        (
            spec("new", -1, -1, assignments=[{"partition_index": 0, "broker_ids": [9]}]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
        (
            spec("new", -1, -1, assignments=[{"partition_index": 1, "broker_ids": [1]}]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
        (
            spec("new", -1, -1, assignments=[{"partition_index": 0, "broker_ids": [1, 1]}]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
    ],
)
def test_wrong_entry_is_refused_with_its_code_and_spoils_no_other(
    entry: dict[str, Any], code: ErrorCode
) -> None:
    broker = AdminBroker()
    create(broker, spec("there"), spec("a_b"))
    wrong, right = create(broker, entry, spec("fine"))
    assert ErrorCode(wrong["error_code"]) == code
    assert wrong["error_message"]
    assert right["error_code"] == 0
    assert set(broker.cluster_state.topics) == {"there", "a_b", "fine"}


def test_partitions_assigned_by_hand_are_kept() -> None:
    broker = AdminBroker()
    by_hand = [{"partition_index": index, "broker_ids": [1]} for index in (1, 0)]
    (answer,) = create(broker, spec("hand", -1, -1, assignments=by_hand))
    assert answer["error_code"] == 0
    assert broker.cluster_state.topics["hand"].assignments == ((1,), (1,))


def test_name_given_twice_is_refused_and_not_created() -> None:
    broker = AdminBroker()
    (answer,) = create(broker, spec("twice"), spec("twice", 2))
    assert ErrorCode(answer["error_code"]) == ErrorCode.INVALID_REQUEST
    assert not broker.cluster_state.topics


def delete(broker: AdminBroker, version: int, *names: str) -> dict[str, ErrorCode]:
    request: dict[str, Any] = {"topic_names": list(names), "timeout_ms": 1000}
    if version >= 6:
        topics = [{"name": name, "topic_id": bytes(16)} for name in names]
        request = {"topics": topics, "timeout_ms": 1000}
    answer = ask_now(broker, handle_delete_topics, 20, version, request)
    return {each["name"]: ErrorCode(each["error_code"]) for each in answer["responses"]}


@pytest.mark.parametrize("version", range(1, 7))
def test_topics_are_deleted_by_name(version: int) -> None:
    broker = AdminBroker()
    create(broker, spec("old"), spec("kept"))
    assert delete(broker, version, "old", "never") == {
        "old": ErrorCode.NONE,
        "never": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
    assert set(broker.cluster_state.topics) == {"kept"}


def test_topics_are_deleted_by_id_and_answered_with_their_name() -> None:
    broker = AdminBroker()
    create(broker, spec("old"))
    topic_id = broker.cluster_state.topics["old"].topic_id
    topics = [{"name": None, "topic_id": each} for each in (topic_id, b"\7" * 16)]
    request = {"topics": topics, "timeout_ms": 1000}
    answers = ask_now(broker, handle_delete_topics, 20, 6, request)["responses"]
    assert [(each["name"], ErrorCode(each["error_code"]).name) for each in answers] == [
        ("old", "NONE"),
        (None, "UNKNOWN_TOPIC_ID"),
    ]


def test_topic_named_by_both_or_neither_is_an_invalid_request() -> None:
    broker = AdminBroker()
    topics = [{"name": "a", "topic_id": b"\7" * 16}, {"name": None, "topic_id": bytes(16)}]
    request = {"topics": topics, "timeout_ms": 1000}
    answers = ask_now(broker, handle_delete_topics, 20, 6, request)["responses"]
    assert {ErrorCode(each["error_code"]) for each in answers} == {ErrorCode.INVALID_REQUEST}


def test_deletion_switched_off_refuses_with_the_code_the_version_knows() -> None:
    broker = AdminBroker(make_broker_config({"delete.topic.enable": "false"}))
    create(broker, spec("old"))
    assert delete(broker, 2, "old") == {"old": ErrorCode.INVALID_REQUEST}
    assert delete(broker, 3, "old") == {"old": ErrorCode.TOPIC_DELETION_DISABLED}
    assert "old" in broker.cluster_state.topics


def grow(broker: AdminBroker, *topics: dict[str, Any], version: int = 3, **more: Any) -> list[Any]:
    request = {"topics": list(topics), "timeout_ms": 1000, "validate_only": False, **more}
    answer = ask_now(broker, handle_create_partitions, 37, version, request)
    results: list[Any] = answer["results"]
    return results


@pytest.mark.parametrize("version", range(4))
def test_topic_grows_to_the_count_asked_for(version: int) -> None:
    broker = AdminBroker()
    create(broker, spec("clicks", 2))
    (answer,) = grow(broker, {"name": "clicks", "count": 4, "assignments": None}, version=version)
    assert answer["error_code"] == 0
    assert broker.cluster_state.topics["clicks"].assignments == ((1,),) * 4


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"name": "clicks", "count": 2, "assignments": None}, ErrorCode.INVALID_PARTITIONS),
        ({"name": "clicks", "count": 1, "assignments": None}, ErrorCode.INVALID_PARTITIONS),
        ({"name": "none", "count": 3, "assignments": None}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ({"name": "clicks", "count": 3, "assignments": []}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (
            {"name": "clicks", "count": 3, "assignments": [{"broker_ids": [5]}]},
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
    ],
)
def test_growth_that_cannot_be_is_refused(entry: dict[str, Any], code: ErrorCode) -> None:
    broker = AdminBroker()
    create(broker, spec("clicks", 2))
    (answer,) = grow(broker, entry)
    assert ErrorCode(answer["error_code"]) == code
    assert broker.cluster_state.topics["clicks"].partition_count == 2


def test_growth_that_is_only_validated_changes_nothing() -> None:
    broker = AdminBroker()
    create(broker, spec("clicks", 2))
    wanted = {"name": "clicks", "count": 3, "assignments": None}
    (answer,) = grow(broker, wanted, validate_only=True)
    assert answer["error_code"] == 0
    assert broker.cluster_state.topics["clicks"].partition_count == 2
