"""Metadata (API key 3), versions 0-13.

Behaviour: the brokers at the address advertised for the listener that was asked, the controller,
    and the topics asked for, each with its own error.  An unknown topic is created if both the
    client and auto.create.topics.enable allow it; an invalid name is refused for that topic alone.
    No topics: all of them in version 0, none from version 1 on, where null stands for all.
Versions: 4 allow_auto_topic_creation; 7 leader_epoch; 8 authorized operations (KIP-430), which are
    all of them while there is no authorizer; 10 topic ids (KIP-516); 12 asks by id; 13 has an error
    of its own.
While a partition moves its replicas are those to come, in their order, then those to leave; who
    has caught up is in the isr (KIP-455).
A leader whose broker is not up, or cannot serve its log, counts as none until another one is
    elected; who asks for such a topic just then is answered a moment later (leader_wait.py).
    A broker that went down stays in the list for a while (`Broker.describe_brokers`).
    Who asks a broker that cannot know is let go after a while (asking_in_vain.py).
"""

from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ...core.kafka_uuid import ZERO_UUID
from ...raft.errors import (
    InvalidRequestError,
    TopicExistsError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from ...raft.partition_state import NO_LEADER
from ...raft.topic_names import is_internal_topic, validate_topic_name
from ..wire.error_codes import ErrorCode
from .asking_in_vain import let_go_in_vain
from .context import RequestContext
from .error_mapping import error_code_of
from .later_answer import LaterAnswer
from .leader_wait import LeaderWait

if TYPE_CHECKING:
    from ...raft.topic_image import TopicImage
    from ..broker import Broker

NOT_ASKED_OPERATIONS = -(2**31)
# Bits are Kafka's AclOperation numbers: what may be done to a topic, and to the cluster.
ALL_TOPIC_OPERATIONS = sum(1 << bit for bit in (3, 4, 5, 6, 7, 8, 10, 11))
ALL_CLUSTER_OPERATIONS = sum(1 << bit for bit in (5, 7, 8, 9, 10, 11, 12))
FIRST_VERSION_WITH_IDS_ASKED = 12
FIRST_VERSION_WITH_EMPTY_AS_NONE = 1

Body = dict[str, Any]


def handle_metadata(
    broker: "Broker", context: RequestContext, request: Body
) -> Body | Awaitable[Body] | LaterAnswer:
    """The cluster as this client may see it; waits only for topics and for leaders to come."""
    asked = request["topics"]
    if asked is None or (not asked and context.api_version < FIRST_VERSION_WITH_EMPTY_AS_NONE):
        images = list(broker.cluster_state.topics.values())
        return _answer(broker, context, request, [describe_topic(broker, i) for i in images])
    missing = _to_be_created(broker, context, request)
    if missing:
        return _create_and_answer(broker, context, request, missing)
    wait = LeaderWait(broker, lambda: _answer_asked(broker, context, request, {}))
    if wait.begin(_images_asked(broker, request)):
        return wait
    body = _answer_asked(broker, context, request, {})
    let_go_in_vain(broker, context, body["topics"])
    return body


def _images_asked(broker: "Broker", request: Body) -> Iterator["TopicImage"]:
    """Those of the topics asked for that there are."""
    state = broker.cluster_state
    for asked in request["topics"]:
        topic_id = asked.get("topic_id", ZERO_UUID)
        image = state.topics.get(asked["name"] or "") or state.topic_by_id(topic_id)
        if image is not None:
            yield image


def _to_be_created(broker: "Broker", context: RequestContext, request: Body) -> list[str]:
    """Topics asked for by name that do not exist and may be created."""
    if not (request["allow_auto_topic_creation"] and broker.config.auto_create_topics_enable):
        return []
    topics = broker.cluster_state.topics
    names = dict.fromkeys(topic["name"] for topic in request["topics"])
    return [
        name
        for name in names
        if name is not None and name not in topics and not is_internal_topic(name)
    ]


async def _create_and_answer(
    broker: "Broker", context: RequestContext, request: Body, names: list[str]
) -> Body:
    refused: dict[str, HeadraceError] = {}
    for name in names:
        try:
            await broker.create_topic(name)
        except TopicExistsError:
            continue  # another client was faster
        except HeadraceError as error:
            refused[name] = error
    return _answer_asked(broker, context, request, refused)


def _answer_asked(
    broker: "Broker", context: RequestContext, request: Body, refused: dict[str, HeadraceError]
) -> Body:
    topics = []
    for asked in request["topics"]:
        name = asked["name"]
        topic_id = asked.get("topic_id", ZERO_UUID)
        try:
            if name in refused:
                raise refused[name]
            image = _find_topic(broker, context, name, topic_id)
        except HeadraceError as error:
            topics.append(
                {
                    "error_code": error_code_of(error),
                    "name": _nameable(context, name),
                    "topic_id": topic_id,
                    "is_internal": name is not None and is_internal_topic(name),
                    "partitions": [],
                }
            )
        else:
            topics.append(describe_topic(broker, image))
    return _answer(broker, context, request, topics)


def _nameable(context: RequestContext, name: str | None) -> str | None:
    """The name of a topic that was refused; versions before ids have no null for it."""
    return "" if name is None and context.api_version < FIRST_VERSION_WITH_IDS_ASKED else name


def _find_topic(
    broker: "Broker", context: RequestContext, name: str | None, topic_id: bytes
) -> "TopicImage":
    state = broker.cluster_state
    if topic_id != ZERO_UUID:
        if context.api_version < FIRST_VERSION_WITH_IDS_ASKED:
            raise InvalidRequestError("topic ids may be asked for from Metadata version 12 on")
        image = state.topic_by_id(topic_id)
        if image is None:
            raise UnknownTopicIdError(f"no topic has the id {topic_id.hex()}")
        return image
    if name is None:
        raise InvalidRequestError("a topic is asked for by its name or its id")
    image = state.topics.get(name)
    if image is None:
        validate_topic_name(name)
        raise UnknownTopicOrPartitionError(f"no topic {name}", name)
    return image


def describe_topic(broker: "Broker", image: "TopicImage") -> Body:
    """One topic with its partitions, as the wire names them."""
    live = broker.live_broker_ids()
    return {
        "error_code": ErrorCode.NONE,
        "name": image.name,
        "topic_id": image.topic_id,
        "is_internal": image.is_internal,
        "partitions": [
            _describe_partition(broker, image, index, live)
            for index in range(image.partition_count)
        ],
    }


def _describe_partition(
    broker: "Broker", image: "TopicImage", index: int, live: frozenset[int]
) -> Body:
    state = broker.partition_state(image.name, index)
    replicas = image.holders_of(index, state)
    failed = broker.replicas.offline_replicas(image.topic_id, index)
    own = broker.replicas.find(image.topic_id, index)
    is_to_come = state is not None and broker.node_id not in state.replicas  # it moves here
    if not (is_to_come if own is None else own.is_online):
        failed = {broker.node_id, *failed}
    offline = [each for each in replicas if each in failed or each not in live]
    leader = NO_LEADER if state is None or state.leader not in live else state.leader
    if leader in failed or (own is not None and leader == broker.node_id and not own.is_leader):
        leader = NO_LEADER
    described: Body = {
        "error_code": ErrorCode.NONE if leader >= 0 else ErrorCode.LEADER_NOT_AVAILABLE,
        "partition_index": index,
        "leader_id": leader,
        "replica_nodes": list(replicas),
        "isr_nodes": [] if state is None else [each for each, _ in state.isr if each in replicas],
        "offline_replicas": offline,
    }
    if state is not None:
        described["leader_epoch"] = state.leader_epoch
    return described


def _answer(broker: "Broker", context: RequestContext, request: Body, topics: list[Body]) -> Body:
    if request["include_topic_authorized_operations"]:
        for topic in topics:
            topic["topic_authorized_operations"] = ALL_TOPIC_OPERATIONS
    body = {
        "brokers": broker.describe_brokers(context.listener_name, names_missing=True),
        "cluster_id": broker.cluster_id,
        "controller_id": broker.controller_id,
        "topics": topics,
    }
    if request["include_cluster_authorized_operations"]:
        body["cluster_authorized_operations"] = ALL_CLUSTER_OPERATIONS
    return body
