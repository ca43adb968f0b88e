"""Describing and altering the settings of topics and brokers."""

from typing import Any

import pytest

from headrace.api.broker_config import BROKER_CONFIG_DEFS, BrokerConfig, make_broker_config
from headrace.api.handlers.configs import (
    handle_alter_configs,
    handle_describe_configs,
    handle_incremental_alter_configs,
    handle_list_config_resources,
)
from headrace.api.wire.error_codes import ErrorCode
from headrace.core.log_config import TOPIC_CONFIG_DEFS
from headrace.raft.cluster_commands import AlterConfigs, CreateTopic
from tests.support.admin_broker import AdminBroker, ask_now

TOPIC, BROKER = 2, 4
SET, DELETE, APPEND, SUBTRACT = range(4)


def broker_with_topic(
    configs: dict[str, str] | None = None, config: BrokerConfig | None = None
) -> AdminBroker:
    broker = AdminBroker(config)
    overrides = tuple((configs or {}).items())
    broker.cluster_state.apply(CreateTopic("clicks", b"\1" * 16, ((1,),), overrides))
    return broker


def describe(
    broker: AdminBroker,
    kind: int,
    name: str,
    keys: list[str] | None = None,
    *,
    version: int = 4,
    **more: bool,
) -> dict[str, Any]:
    resource = {"resource_type": kind, "resource_name": name, "configuration_keys": keys}
    request = {"resources": [resource], "include_synonyms": True, **more}
    (result,) = ask_now(broker, handle_describe_configs, 32, version, request)["results"]
    entries = {entry["name"]: entry for entry in result["configs"]}
    return {**result, "configs": entries}


@pytest.mark.parametrize("version", range(1, 5))
def test_every_setting_of_a_topic_is_described(version: int) -> None:
    result = describe(broker_with_topic(), TOPIC, "clicks", version=version)
    public = {name for name, each in TOPIC_CONFIG_DEFS.items() if not each.is_internal}
    assert set(result["configs"]) == public
    policy = result["configs"]["cleanup.policy"]
    assert (policy["value"], policy["config_source"]) == ("delete", 5)
    assert policy["synonyms"] == [{"name": "log.cleanup.policy", "value": "delete", "source": 5}]
    if version >= 3:
        assert policy["config_type"] == 7
        assert result["configs"]["retention.ms"]["config_type"] == 5


def test_own_setting_of_a_topic_hides_those_of_the_broker() -> None:
    config = make_broker_config({"log.retention.hours": "1"})
    broker = broker_with_topic({"retention.ms": "5"}, config)
    broker.cluster_state.apply(AlterConfigs("broker", "", {"log.retention.ms": "7"}))
    entry = describe(broker, TOPIC, "clicks", ["retention.ms"])["configs"]["retention.ms"]
    assert (entry["value"], entry["config_source"]) == ("5", 1)
    assert [(each["name"], each["value"], each["source"]) for each in entry["synonyms"]] == [
        ("retention.ms", "5", 1),
        ("log.retention.ms", "7", 3),
        ("log.retention.hours", "1", 4),
        ("log.retention.hours", "168", 5),
    ]


def test_hours_alone_are_no_synonym_of_a_setting_in_milliseconds() -> None:
    # So kafka-topics.sh --describe does not list retention.ms for each topic of a broker whose
    # file says log.retention.hours, as Kafka's own sample does.
    broker = broker_with_topic(config=make_broker_config({"log.retention.hours": "1"}))
    entry = describe(broker, TOPIC, "clicks", ["retention.ms"])["configs"]["retention.ms"]
    assert (entry["value"], entry["config_source"], entry["synonyms"]) == ("3600000", 5, [])
    told = describe(broker, BROKER, "1", ["log.retention.ms", "log.retention.hours"])["configs"]
    assert (told["log.retention.ms"]["value"], told["log.retention.ms"]["synonyms"]) == (None, [])
    assert len(told["log.retention.hours"]["synonyms"]) == 2
    broker.cluster_state.apply(AlterConfigs("broker", "", {"log.retention.ms": "7"}))
    told = describe(broker, BROKER, "1", ["log.retention.ms"])["configs"]
    assert [(each["name"], each["source"]) for each in told["log.retention.ms"]["synonyms"]] == [
        ("log.retention.ms", 3),
        ("log.retention.hours", 4),
        ("log.retention.hours", 5),
    ]


@pytest.mark.parametrize("given", ["node.id", "broker.id"])
def test_the_id_is_told_under_both_of_its_names(given: str) -> None:
    broker = AdminBroker(make_broker_config({given: "1"}))
    told = describe(broker, BROKER, "1", ["node.id", "broker.id"])["configs"]
    for name in ("node.id", "broker.id"):
        assert (told[name]["value"], told[name]["config_source"]) == ("1", 4)


def test_default_of_a_topic_that_the_broker_sets_names_that_source() -> None:
    broker = broker_with_topic(config=make_broker_config({"message.max.bytes": "2000"}))
    entry = describe(broker, TOPIC, "clicks", ["max.message.bytes"])["configs"]["max.message.bytes"]
    assert (entry["value"], entry["config_source"]) == ("2000", 4)


def test_synonyms_and_documentation_come_only_when_asked_for() -> None:
    broker = broker_with_topic()
    bare = describe(broker, TOPIC, "clicks", ["retention.ms"], include_synonyms=False)
    assert bare["configs"]["retention.ms"]["synonyms"] == []
    assert bare["configs"]["retention.ms"]["documentation"] is None
    told = describe(broker, TOPIC, "clicks", ["retention.ms"], include_documentation=True)
    assert "keeps them" in told["configs"]["retention.ms"]["documentation"]


def test_no_names_ask_for_every_setting() -> None:
    broker = broker_with_topic()
    assert len(describe(broker, TOPIC, "clicks", [])["configs"]) > 30


def test_every_setting_of_a_broker_is_described() -> None:
    broker = AdminBroker(make_broker_config({"num.partitions": "3"}))
    broker.cluster_state.apply(AlterConfigs("broker", "1", {"message.max.bytes": "9"}))
    configs = describe(broker, BROKER, "1")["configs"]
    every = {name for name, each in BROKER_CONFIG_DEFS.items() if not each.only_dynamic}
    assert set(configs) == every
    assert (configs["num.partitions"]["value"], configs["num.partitions"]["config_source"]) == (
        "3",
        4,
    )
    assert configs["num.partitions"]["read_only"]
    assert configs["message.max.bytes"]["config_source"] == 2
    assert not configs["message.max.bytes"]["read_only"]


def test_a_setting_that_is_only_dynamic_is_described_while_it_is_set() -> None:
    broker = AdminBroker()
    name = "leader.replication.throttled.rate"
    assert describe(broker, BROKER, "1", [name])["configs"] == {}
    broker.cluster_state.apply(AlterConfigs("broker", "1", {name: "1000"}))
    entry = describe(broker, BROKER, "1", [name])["configs"][name]
    assert (entry["value"], entry["config_source"], entry["read_only"]) == ("1000", 2, False)


def test_empty_broker_name_gives_the_dynamic_settings_of_all_brokers() -> None:
    broker = AdminBroker()
    assert describe(broker, BROKER, "")["configs"] == {}
    broker.cluster_state.apply(AlterConfigs("broker", "", {"message.max.bytes": "9"}))
    (entry,) = describe(broker, BROKER, "")["configs"].values()
    assert (entry["name"], entry["value"], entry["config_source"]) == ("message.max.bytes", "9", 3)


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "no pe", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (8, "1", ErrorCode.INVALID_REQUEST),
        (99, "1", ErrorCode.INVALID_REQUEST),
    ],
)
def test_resource_that_cannot_be_described_has_a_code_and_words(
    kind: int, name: str, code: ErrorCode
) -> None:
    result = describe(AdminBroker(), kind, name)
    assert ErrorCode(result["error_code"]) == code
    assert result["error_message"]


def alter(
    broker: AdminBroker, configs: dict[str, str | None], *, kind: int = TOPIC, **more: Any
) -> dict[str, Any]:
    entries = [{"name": name, "value": value} for name, value in configs.items()]
    name = more.pop("name", "clicks")
    resource = {"resource_type": kind, "resource_name": name, "configs": entries}
    request = {"resources": [resource], "validate_only": False, **more}
    (answer,) = ask_now(broker, handle_alter_configs, 33, 2, request)["responses"]
    result: dict[str, Any] = answer
    return result


def test_alter_replaces_all_settings_of_the_topic() -> None:
    broker = broker_with_topic({"retention.ms": "5", "segment.ms": "9"})
    answer = alter(broker, {"retention.ms": "6", "cleanup.policy": "compact"})
    assert answer["error_code"] == 0
    assert broker.cluster_state.topics["clicks"].configs == {
        "retention.ms": "6",
        "cleanup.policy": "compact",
    }


def test_alter_that_is_only_validated_changes_nothing() -> None:
    broker = broker_with_topic({"retention.ms": "5"})
    assert alter(broker, {"retention.ms": "6"}, validate_only=True)["error_code"] == 0
    assert broker.proposed == []


@pytest.mark.parametrize(
    ("configs", "code"),
    [
        ({"retention.ms": "x"}, ErrorCode.INVALID_CONFIG),
        ({"retention.mss": "1"}, ErrorCode.INVALID_CONFIG),
        ({"retention.ms": None}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_bad_setting_of_a_topic_is_refused(configs: dict[str, str | None], code: ErrorCode) -> None:
    broker = broker_with_topic()
    answer = alter(broker, configs)
    assert ErrorCode(answer["error_code"]) == code
    assert "retention.ms" in answer["error_message"]
    assert broker.proposed == []


def test_dynamic_setting_of_a_broker_is_kept_and_a_fixed_one_refused() -> None:
    broker = AdminBroker()
    assert alter(broker, {"message.max.bytes": "9"}, kind=BROKER, name="1")["error_code"] == 0
    assert broker.cluster_state.broker_configs(1) == {"message.max.bytes": "9"}
    refused = alter(broker, {"num.partitions": "9"}, kind=BROKER, name="")
    assert ErrorCode(refused["error_code"]) == ErrorCode.INVALID_REQUEST
    assert "server.properties" in refused["error_message"]
    other = alter(broker, {"message.max.bytes": "9"}, kind=BROKER, name="5")
    assert ErrorCode(other["error_code"]) == ErrorCode.INVALID_REQUEST


def change(
    broker: AdminBroker,
    *changes: tuple[str, int, str | None],
    kind: int = TOPIC,
    name: str = "clicks",
    repeat: int = 1,
) -> dict[str, Any]:
    entries = [
        {"name": setting, "config_operation": operation, "value": value}
        for setting, operation, value in changes
    ]
    resource = {"resource_type": kind, "resource_name": name, "configs": entries}
    request = {"resources": [resource] * repeat, "validate_only": False}
    (answer,) = ask_now(broker, handle_incremental_alter_configs, 44, 1, request)["responses"]
    result: dict[str, Any] = answer
    return result


def test_incremental_change_leaves_other_settings_alone() -> None:
    broker = broker_with_topic({"retention.ms": "5", "segment.ms": "9"})
    answer = change(broker, ("retention.ms", DELETE, None), ("max.message.bytes", SET, "10"))
    assert answer["error_code"] == 0
    assert broker.cluster_state.topics["clicks"].configs == {
        "segment.ms": "9",
        "max.message.bytes": "10",
    }


def test_lists_are_appended_to_and_subtracted_from_starting_at_the_value_in_force() -> None:
    broker = broker_with_topic()
    change(broker, ("cleanup.policy", APPEND, "compact"))
    assert broker.cluster_state.topics["clicks"].configs["cleanup.policy"] == "delete,compact"
    change(broker, ("cleanup.policy", SUBTRACT, "delete"))
    assert broker.cluster_state.topics["clicks"].configs["cleanup.policy"] == "compact"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ((("retention.ms", APPEND, "1"),), ErrorCode.INVALID_CONFIG),
        ((("retention.ms", 7, "1"),), ErrorCode.INVALID_REQUEST),
        ((("retention.ms", SET, None),), ErrorCode.INVALID_REQUEST),
        ((("retention.ms", SET, "1"), ("segment.ms", SET, "0")), ErrorCode.INVALID_CONFIG),
        ((("retention.ms", SET, "1"), ("retention.ms", SET, "2")), ErrorCode.INVALID_REQUEST),
    ],
)
def test_incremental_change_is_done_whole_or_not_at_all(
    changes: tuple[tuple[str, int, str | None], ...], code: ErrorCode
) -> None:
    broker = broker_with_topic()
    assert ErrorCode(change(broker, *changes)["error_code"]) == code
    assert broker.proposed == []


def test_deleting_what_is_not_set_or_not_known_is_no_error() -> None:
    broker = broker_with_topic({"retention.ms": "5"})
    assert change(broker, ("nope", DELETE, None), ("segment.ms", DELETE, None))["error_code"] == 0
    assert broker.cluster_state.topics["clicks"].configs == {"retention.ms": "5"}


@pytest.mark.parametrize("kind", [8, 16, 32, 99])
def test_other_resources_cannot_be_altered(kind: int) -> None:
    answer = change(AdminBroker(), ("x", SET, "1"), kind=kind, name="x")
    assert ErrorCode(answer["error_code"]) == ErrorCode.INVALID_REQUEST


def test_a_group_has_no_settings_and_says_why_none_can_be_given() -> None:
    resource = {"resource_type": 32, "resource_name": "readers", "configuration_keys": None}
    request = {"resources": [resource], "include_synonyms": True, "include_documentation": True}
    (told,) = ask_now(AdminBroker(), handle_describe_configs, 32, 4, request)["results"]
    assert (told["error_code"], told["configs"]) == (0, [])
    answer = change(AdminBroker(), ("consumer.session.timeout.ms", SET, "1"), kind=32, name="g")
    assert "session.timeout.ms" in answer["error_message"]


def test_resource_named_twice_is_refused_once() -> None:
    broker = broker_with_topic()
    answer = change(broker, ("retention.ms", SET, "1"), repeat=2)
    assert ErrorCode(answer["error_code"]) == ErrorCode.INVALID_REQUEST
    assert broker.proposed == []


def test_config_resources_are_listed_by_type() -> None:
    broker = broker_with_topic()

    def names(version: int, types: list[int] | None = None) -> list[tuple[int, str]]:
        request = {} if types is None else {"resource_types": types}
        answer = ask_now(broker, handle_list_config_resources, 74, version, request)
        return [
            (each["resource_type"], each["resource_name"]) for each in answer["config_resources"]
        ]

    assert names(0) == []
    assert names(1, [TOPIC]) == [(TOPIC, "clicks")]
    refused = ask_now(broker, handle_list_config_resources, 74, 1, {"resource_types": [99]})
    assert ErrorCode(refused["error_code"]) == ErrorCode.UNSUPPORTED_VERSION
    assert names(1, []) == [(TOPIC, "clicks"), (BROKER, "1"), (8, "1")]
