"""CreateTopics, DeleteTopics and CreatePartitions: requests turned into cluster commands."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ...core.kafka_uuid import ZERO_UUID, random_uuid
from ...core.log_config import parse_topic_configs
from ...raft.cluster_commands import DeleteTopic
from ...raft.errors import (
    InvalidRequestError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from ...raft.topic_image import TopicImage
from ..broker_config import BrokerConfig
from ..wire.error_codes import ErrorCode
from .broker_settings import broker_settings
from .config_entries import topic_entries
from .context import RequestContext
from .error_mapping import error_code_of
from .topic_plans import TopicDefaults, plan_partitions, plan_topic

if TYPE_CHECKING:
    from ..broker import Broker

_CREATED_CONFIG_FIELDS = ("name", "value", "read_only", "config_source", "is_sensitive")


async def handle_create_topics(
    broker: "Broker", context: RequestContext, request: dict[str, Any]
) -> dict[str, Any]:
    """CreateTopics (API key 19), versions 2-7.

    Behaviour: each topic stands or falls alone; a name given twice is refused every time.  A count
    or factor of -1 takes the broker's default.  validate_only checks all and creates nothing.
    Versions: 4 takes -1 (KIP-464); 5 answers with the settings (KIP-525); 6 may be throttled;
    7 answers with the topic id (KIP-516).
    Not done: timeout_ms is not read, as the answer never waits for other brokers.
    """
    counts = Counter(spec["name"] for spec in request["topics"])
    answers = []
    for spec in request["topics"]:
        if counts[spec["name"]] > 1:
            error = InvalidRequestError(f"topic '{spec['name']}' is named twice in the request")
            answers.append(_failed(error, name=spec["name"]))
        else:
            answers.append(await _create_topic(broker, spec, request["validate_only"]))
    return {"topics": _once_a_name(answers)}


def _once_a_name(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One answer a topic: clients key them by name."""
    return list({answer["name"]: answer for answer in answers}.values())


async def _create_topic(
    broker: "Broker", spec: Mapping[str, Any], validate_only: bool
) -> dict[str, Any]:
    name = spec["name"]
    try:
        command = plan_topic(
            broker.cluster_state,
            spec,
            _topic_defaults(broker.config),
            topic_id=random_uuid(broker.clock),
            brokers=broker.live_registrations(),
            missing=broker.missing_registrations(),
            start_index=int(broker.clock.random_float() * len(broker.cluster_state.brokers)),
        )
        if validate_only:
            topic = TopicImage(name, ZERO_UUID, command.assignments, dict(command.configs))
        else:
            topic = await broker.propose(command)
        return {"name": name, "error_code": 0, "error_message": None, **_describe(broker, topic)}
    except HeadraceError as error:
        return _failed(error, name=name)


def _topic_defaults(config: BrokerConfig) -> TopicDefaults:
    return TopicDefaults(
        config.num_partitions,
        config.default_replication_factor,
        config.log_config,
        config.headrace_replication_factor_clamp,
    )


def _describe(broker: "Broker", topic: TopicImage) -> dict[str, Any]:
    """What CreateTopics 5+ tells of a new topic."""
    config = parse_topic_configs(topic.configs, broker.config.log_config)
    return {
        "topic_id": topic.topic_id,
        "num_partitions": topic.partition_count,
        "replication_factor": len(topic.assignments[0]),
        "configs": [
            {field: entry[field] for field in _CREATED_CONFIG_FIELDS}
            for entry in topic_entries(topic.configs, config, broker_settings(broker))
        ],
    }


def _failed(error: HeadraceError, **fields: Any) -> dict[str, Any]:
    return {**fields, "error_code": int(error_code_of(error)), "error_message": str(error)}


async def handle_delete_topics(
    broker: "Broker", context: RequestContext, request: dict[str, Any]
) -> dict[str, Any]:
    """DeleteTopics (API key 20), versions 1-6.

    Behaviour: delete.topic.enable=false refuses all.  Unknown names and ids have their own codes.
    Versions: 5 answers with a message; 6 names topics by id too (KIP-516).
    """
    if context.api_version >= 6:
        asked = [(each["name"], each["topic_id"]) for each in request["topics"]]
    else:
        asked = [(name, ZERO_UUID) for name in request["topic_names"]]
    counts = Counter(asked)
    responses = []
    for name, topic_id in counts:
        fields = {"name": name, "topic_id": topic_id}
        if not broker.config.delete_topic_enable:
            responses.append(_deletion_disabled(context, fields))
            continue
        try:
            if counts[name, topic_id] > 1:
                raise InvalidRequestError("the topic is named twice in the request")
            topic = _topic_to_delete(broker, name, topic_id)
            fields = {"name": topic.name, "topic_id": topic.topic_id}
            await broker.propose(DeleteTopic(topic.topic_id))
            responses.append({**fields, "error_code": 0})
        except HeadraceError as error:
            responses.append(_failed(error, **fields))
    return {"responses": responses}


def _deletion_disabled(context: RequestContext, fields: dict[str, Any]) -> dict[str, Any]:
    is_known = context.api_version >= 3  # the code came with version 3
    code = ErrorCode.TOPIC_DELETION_DISABLED if is_known else ErrorCode.INVALID_REQUEST
    message = "topics cannot be deleted here: delete.topic.enable is false"
    return {**fields, "error_code": int(code), "error_message": message}


def _topic_to_delete(broker: "Broker", name: str | None, topic_id: bytes) -> TopicImage:
    state = broker.cluster_state
    if topic_id != ZERO_UUID:
        if name is not None:
            raise InvalidRequestError("give the name or the id of a topic, not both")
        topic = state.topic_by_id(topic_id)
        if topic is None:
            raise UnknownTopicIdError("no topic has this id")
        return topic
    if name is None:
        raise InvalidRequestError("give the name or the id of a topic")
    return _known_topic(broker, name)


def _known_topic(broker: "Broker", name: str) -> TopicImage:
    topic = broker.cluster_state.topics.get(name)
    if topic is None:
        raise UnknownTopicOrPartitionError(f"there is no topic '{name}'", name)
    return topic


async def handle_create_partitions(
    broker: "Broker", context: RequestContext, request: dict[str, Any]
) -> dict[str, Any]:
    """CreatePartitions (API key 37), versions 0-3.

    Behaviour: a topic only grows; new partitions are empty.  validate_only changes nothing.
    Versions: 2 is flexible; 3 may be throttled.
    """
    counts = Counter(spec["name"] for spec in request["topics"])
    results = {}
    for spec in request["topics"]:
        name = spec["name"]
        try:
            if counts[name] > 1:
                raise InvalidRequestError(f"topic '{name}' is named twice in the request")
            topic = _known_topic(broker, name)
            command = plan_partitions(
                broker.cluster_state,
                topic,
                spec,
                broker.live_registrations(),
                broker.missing_registrations(),
            )
            if not request["validate_only"]:
                await broker.propose(command)
            results[name] = {"name": name, "error_code": 0}
        except HeadraceError as error:
            results[name] = _failed(error, name=name)
    return {"results": list(results.values())}
