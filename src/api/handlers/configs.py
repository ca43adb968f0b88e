"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ...core.config_def import ConfigDef
from ...core.errors import HeadraceError, InvalidConfigError
from ...core.log_config import TOPIC_CONFIG_DEFS, parse_topic_configs, unknown_config_reason
from ...raft.cluster_commands import RESOURCE_BROKER, RESOURCE_TOPIC, AlterConfigs
from ...raft.errors import InvalidRequestError, UnknownTopicOrPartitionError
from ...raft.topic_image import TopicImage
from ...raft.topic_names import validate_topic_name
from ..broker_config import BROKER_CONFIG_DEFS, check_dynamic_settings
from ..wire.error_codes import ErrorCode
from .broker_settings import broker_settings
from .config_entries import broker_default_entries, broker_entries, topic_entries
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ..broker import Broker


class ResourceType(IntEnum):
    """What a group of settings belongs to, as numbered on the wire."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


_NO_GROUP_SETTINGS = (
    "groups have no settings here: Kafka's belong to the consumer group protocol of KIP-848, to "
    "share groups and to streams groups, none of which is supported; a classic group lives by its "
    "clients' session.timeout.ms and heartbeat.interval.ms"
)


class ConfigOperation(IntEnum):
    """What IncrementalAlterConfigs does with one setting."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


def handle_describe_configs(
    broker: "Broker", context: RequestContext, request: dict[str, Any]
) -> dict[str, Any]:
    """DescribeConfigs (API key 32), versions 1-4.

    Behaviour: topics and brokers; a broker's empty name asks for the dynamic settings of all.
    Every setting comes with its source, its type and the values it hides.  A classic group has no
    settings, so none are told.
    Versions: 1 adds sources and synonyms (KIP-226); 3 type and documentation (KIP-569).
    Not done: broker loggers, client metrics: INVALID_REQUEST.
    """
    results = []
    for resource in request["resources"]:
        fields = _resource_fields(resource)
        try:
            entries = list(_entries_of(broker, resource))
        except HeadraceError as error:
            results.append({**fields, **_failure(error), "configs": []})
            continue
        for entry in entries:
            if not request["include_synonyms"]:
                entry["synonyms"] = []
            if not request.get("include_documentation", False):
                entry["documentation"] = None
        results.append({**fields, "error_code": 0, "error_message": "", "configs": entries})
    return {"results": results}


def _resource_fields(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "resource_type": resource["resource_type"],
        "resource_name": resource["resource_name"],
    }


def _succeeded(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {**_resource_fields(resource), "error_code": 0, "error_message": None}


def _failure(error: HeadraceError) -> dict[str, Any]:
    return {"error_code": int(error_code_of(error)), "error_message": str(error)}


def _entries_of(broker: "Broker", resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = resource["resource_name"]
    names = resource["configuration_keys"] or None  # Kafka: no names mean all of them
    match resource["resource_type"]:
        case ResourceType.TOPIC:
            topic = _known_topic(broker, name)
            config = parse_topic_configs(topic.configs, broker.config.log_config)
            return topic_entries(topic.configs, config, broker_settings(broker), names)
        case ResourceType.BROKER if name == "":
            return broker_default_entries(broker.cluster_state.broker_configs(""), names)
        case ResourceType.BROKER:
            _check_broker_name(broker, name)
            return broker_entries(broker_settings(broker), names)
        case ResourceType.GROUP if name:
            return []
        case other:
            raise _unsupported_resource(other)


def _known_topic(broker: "Broker", name: str) -> TopicImage:
    topic = broker.cluster_state.topics.get(name)
    if topic is None:
        validate_topic_name(name)
        raise UnknownTopicOrPartitionError(f"there is no topic '{name}'", name)
    return topic


def _check_broker_name(broker: "Broker", name: str) -> None:
    if name != str(broker.node_id):
        raise InvalidRequestError(
            f"Unexpected broker id, expected {broker.node_id} or empty string, but received {name}"
        )


def _unsupported_resource(number: int) -> InvalidRequestError:
    if number == ResourceType.GROUP:
        return InvalidRequestError(_NO_GROUP_SETTINGS)
    known = number in set(ResourceType)
    named = ResourceType(number).name if known else f"type {number}"
    return InvalidRequestError(f"settings of a resource of {named} are not supported")


async def handle_alter_configs(
    broker: "Broker", context: RequestContext, request: dict[str, Any]
) -> dict[str, Any]:
    """AlterConfigs (API key 33), versions 0-2.

    Behaviour: the settings given replace all that the resource had.
    Not done: resources other than topics and brokers: INVALID_REQUEST.
    """
    responses = []
    for resource in _each_once(request["resources"]):
        try:
            _refuse_repeated(resource)
            sets = {each["name"]: _given_value(each) for each in resource["configs"]}
            current = _current_overrides(broker, resource)
            command = _alteration(
                resource, sets, tuple(name for name in sorted(current) if name not in sets)
            )
            _check_alteration(broker, command)
            if not request["validate_only"]:
                await broker.propose(command)
            responses.append(_succeeded(resource))
        except HeadraceError as error:
            responses.append({**_resource_fields(resource), **_failure(error)})
    return {"responses": responses}


async def handle_incremental_alter_configs(
    broker: "Broker", context: RequestContext, request: dict[str, Any]
) -> dict[str, Any]:
    """IncrementalAlterConfigs (API key 44), versions 0-1 (KIP-339).

    Behaviour: sets and deletes single settings; appends to and subtracts from lists.  All changes
    of one resource happen or none.
    Not done: resources other than topics and brokers: INVALID_REQUEST.
    """
    responses = []
    for resource in _each_once(request["resources"]):
        try:
            _refuse_repeated(resource)
            sets: dict[str, str] = {}
            deletes: list[str] = []
            for each in resource["configs"]:
                if each["config_operation"] == ConfigOperation.DELETE:
                    deletes.append(each["name"])
                else:
                    sets[each["name"]] = _changed_value(broker, resource, each)
            command = _alteration(resource, sets, tuple(deletes))
            _check_alteration(broker, command)
            if not request["validate_only"]:
                await broker.propose(command)
            responses.append(_succeeded(resource))
        except HeadraceError as error:
            responses.append({**_resource_fields(resource), **_failure(error)})
    return {"responses": responses}


def _each_once(resources: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The resources; one that is named more than once comes once, marked as repeated."""
    counts = Counter((each["resource_type"], each["resource_name"]) for each in resources)
    by_key = {(each["resource_type"], each["resource_name"]): each for each in resources}
    for key, resource in by_key.items():
        yield {**resource, "is_repeated": counts[key] > 1}


def _refuse_repeated(resource: Mapping[str, Any]) -> None:
    if resource["is_repeated"]:
        raise InvalidRequestError("the resource is named twice in the request")
    counts = Counter(each["name"] for each in resource["configs"])
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise InvalidRequestError(f"settings are named twice: {', '.join(twice)}")


def _given_value(entry: Mapping[str, Any]) -> str:
    if entry["value"] is None:
        raise InvalidRequestError(f"{entry['name']} is given no value")
    value: str = entry["value"]
    return value


def _current_overrides(broker: "Broker", resource: Mapping[str, Any]) -> Mapping[str, str]:
    name = resource["resource_name"]
    match resource["resource_type"]:
        case ResourceType.TOPIC:
            return _known_topic(broker, name).configs
        case ResourceType.BROKER:
            if name != "":
                _check_broker_name(broker, name)
            return broker.cluster_state.broker_configs(name)
        case other:
            raise _unsupported_resource(other)


def _changed_value(broker: "Broker", resource: Mapping[str, Any], change: Mapping[str, Any]) -> str:
    """The new text of one setting that is set, appended to or subtracted from."""
    name, given = change["name"], _given_value(change)
    operation = change["config_operation"]
    if operation == ConfigOperation.SET:
        return given
    if operation not in (ConfigOperation.APPEND, ConfigOperation.SUBTRACT):
        raise InvalidRequestError(f"{name}: operation {operation} is unknown")
    definition = _definition(resource["resource_type"], name)
    if definition.type != "list":
        raise InvalidConfigError(name, given, "only a list can be appended to or subtracted from")
    now = [item for item in _value_in_force(broker, resource, name).split(",") if item]
    words = [word for part in given.split(",") if (word := part.strip())]
    if operation == ConfigOperation.APPEND:
        return ",".join(now + [word for word in words if word not in now])
    return ",".join(item for item in now if item not in words)


def _definition(resource_type: int, name: str) -> ConfigDef:
    defs: Mapping[str, ConfigDef] = (
        TOPIC_CONFIG_DEFS if resource_type == ResourceType.TOPIC else BROKER_CONFIG_DEFS
    )
    if name not in defs:
        raise InvalidConfigError(name, "", unknown_config_reason(name, defs))
    return defs[name]


def _value_in_force(broker: "Broker", resource: Mapping[str, Any], name: str) -> str:
    entries = _entries_of(broker, {**resource, "configuration_keys": [name]})
    return (entries[0]["value"] or "") if entries else ""


def _alteration(
    resource: Mapping[str, Any], sets: Mapping[str, str], deletes: tuple[str, ...]
) -> AlterConfigs:
    kinds: dict[int, str] = {
        ResourceType.TOPIC: RESOURCE_TOPIC,
        ResourceType.BROKER: RESOURCE_BROKER,
    }
    kind = kinds.get(resource["resource_type"])
    if kind is None:
        raise _unsupported_resource(resource["resource_type"])
    return AlterConfigs(kind, resource["resource_name"], sets, deletes)


def _check_alteration(broker: "Broker", command: AlterConfigs) -> None:
    """Refuses what would leave the resource with a setting that is unknown or out of bounds.

    To delete what is not set, or not known, is no error.  Kafka calls a refused setting of a broker
    INVALID_REQUEST, and one of a topic INVALID_CONFIG.
    """
    is_topic = command.resource_type == RESOURCE_TOPIC
    kind = ResourceType.TOPIC if is_topic else ResourceType.BROKER
    resource = {"resource_type": kind, "resource_name": command.resource_name}
    after = {**_current_overrides(broker, resource), **command.sets}
    for name in command.deletes:
        after.pop(name, None)
    if is_topic:
        parse_topic_configs(after, broker.config.log_config)
        return
    try:
        check_dynamic_settings(broker.started_with, after, {})
    except InvalidConfigError as error:
        raise InvalidRequestError(str(error)) from error


def handle_list_config_resources(
    broker: "Broker", context: RequestContext, request: dict[str, Any]
) -> dict[str, Any]:
    """ListConfigResources (API key 74), versions 0-1 (KIP-714, KIP-1142).

    Behaviour: version 0 lists client metrics subscriptions, of which there are none; version 1
    lists the resources of the types asked for, all types when none is named, and refuses types
    that Kafka does not know either: UNSUPPORTED_VERSION.
    """
    asked = set(request.get("resource_types") or ResourceType)
    if context.api_version == 0:
        asked = {ResourceType.CLIENT_METRICS}
    if not asked <= set(ResourceType):
        return {"error_code": ErrorCode.UNSUPPORTED_VERSION, "config_resources": []}
    state = broker.cluster_state
    names: dict[int, list[str]] = {
        ResourceType.TOPIC: sorted(state.topics),
        ResourceType.BROKER: [str(broker_id) for broker_id in sorted(state.brokers)],
        ResourceType.BROKER_LOGGER: [str(broker_id) for broker_id in sorted(state.brokers)],
    }
    resources = [
        {"resource_name": name, "resource_type": int(kind)}
        for kind in sorted(asked)
        for name in names.get(kind, [])
    ]
    return {"error_code": 0, "config_resources": resources}
