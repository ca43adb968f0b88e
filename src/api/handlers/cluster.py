"""DescribeCluster and DescribeTopicPartitions: the cluster as it is."""

from itertools import islice
from typing import TYPE_CHECKING, Any

from ...core.kafka_uuid import ZERO_UUID
from ...raft.errors import InvalidTopicError
from ...raft.partition_state import NO_LEADER
from ...raft.topic_names import validate_topic_name
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of
from .metadata import (
    ALL_CLUSTER_OPERATIONS,
    ALL_TOPIC_OPERATIONS,
    NOT_ASKED_OPERATIONS,
    describe_topic,
)

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]

BROKERS_ENDPOINT = 1
CONTROLLERS_ENDPOINT = 2


def handle_describe_cluster(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """DescribeCluster (API key 60), versions 0-2 (KIP-700).

    Behaviour: the brokers at their addresses on the listener that was asked, and the controller.
    Versions: 1 may ask for the controllers' addresses (KIP-919), which no client listener tells:
    MISMATCHED_ENDPOINT_TYPE; 2 may ask for fenced brokers too (KIP-1073): those that are
    registered and down.
    """
    if request["endpoint_type"] != BROKERS_ENDPOINT:
        is_known = request["endpoint_type"] == CONTROLLERS_ENDPOINT
        mismatched, unsupported = (
            ErrorCode.MISMATCHED_ENDPOINT_TYPE,
            ErrorCode.UNSUPPORTED_ENDPOINT_TYPE,
        )
        return {
            "error_code": mismatched if is_known else unsupported,
            "error_message": "only brokers can be asked for here (endpoint type 1)",
            "endpoint_type": BROKERS_ENDPOINT,
        }
    brokers = [
        {"broker_id": each["node_id"], "host": each["host"], "port": each["port"]}
        | {"rack": each.get("rack")}
        for each in broker.describe_brokers(context.listener_name)
    ]
    if request["include_fenced_brokers"]:
        brokers += _absent_brokers(broker)
    is_asked = request["include_cluster_authorized_operations"]
    return {
        "endpoint_type": BROKERS_ENDPOINT,
        "cluster_id": broker.cluster_id,
        "controller_id": broker.controller_id,
        "brokers": brokers,
        "cluster_authorized_operations": (
            ALL_CLUSTER_OPERATIONS if is_asked else NOT_ASKED_OPERATIONS
        ),
    }


def _absent_brokers(broker: "Broker") -> list[Body]:
    """Brokers that are registered and cannot be reached, where they were last."""
    live = broker.live_broker_ids()
    return [
        {"broker_id": each.broker_id, "host": each.host, "port": each.port}
        | {"rack": each.rack, "is_fenced": True}
        for each in broker.cluster_state.brokers.values()
        if each.broker_id not in live
    ]


def handle_describe_topic_partitions(
    broker: "Broker", context: RequestContext, request: Body
) -> Body:
    """DescribeTopicPartitions (API key 75), version 0 (KIP-966).

    Behaviour: topics in the order of their names, from the cursor on, until as many partitions are
    told as the request or max.request.partition.size.limit allows; then a cursor says where to go
    on.  No topics named: all of them.  A cursor that is not among the topics named, or stands below
    partition 0: INVALID_REQUEST.  Where nobody leads, last_known_elr is the last leader, as in
    Kafka; it stays in isr_nodes if it was the last in sync, which Kafka moves to the elr then.
    """
    state = broker.cluster_state
    names = sorted({topic["name"] for topic in request["topics"]} or state.topics)
    cursor = request["cursor"]
    if cursor is not None and not _is_valid(cursor, request["topics"]):
        return {"topics": [_refused_topic(name, ErrorCode.INVALID_REQUEST) for name in names]}
    first_name, first_index = ("", 0)
    if cursor is not None:
        first_name, first_index = cursor["topic_name"], cursor["partition_index"]
    budget = min(
        max(request["response_partition_limit"], 1), broker.config.max_request_partition_size_limit
    )
    answers: list[Body] = []
    for name in names:
        if name < first_name:
            continue
        if budget == 0:
            return {"topics": answers, "next_cursor": {"topic_name": name, "partition_index": 0}}
        image = state.topics.get(name)
        if image is None:
            answers.append(_unknown_topic(name))
            continue
        start = first_index if name == first_name else 0
        told = _describe(broker, describe_topic(broker, image), start, budget)
        answers.append(told)
        budget -= len(told["partitions"])
        end = start + len(told["partitions"])
        if end < image.partition_count:
            next_cursor = {"topic_name": name, "partition_index": end}
            return {"topics": answers, "next_cursor": next_cursor}
    return {"topics": answers, "next_cursor": None}


def _is_valid(cursor: Body, topics: list[Body]) -> bool:
    """Whether the cursor stands at a topic that was asked for, if any were, and a partition."""
    is_among = not topics or any(topic["name"] == cursor["topic_name"] for topic in topics)
    return is_among and cursor["partition_index"] >= 0


def _unknown_topic(name: str) -> Body:
    try:
        validate_topic_name(name)
    except InvalidTopicError as error:
        code = error_code_of(error)
    else:
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return _refused_topic(name, code) | {"topic_authorized_operations": ALL_TOPIC_OPERATIONS}


def _refused_topic(name: str, code: ErrorCode) -> Body:
    return {"error_code": code, "name": name, "topic_id": ZERO_UUID, "partitions": []}


def _describe(broker: "Broker", topic: Body, start: int, limit: int) -> Body:
    """`describe_topic`'s answer in this API's words, with `limit` partitions from `start` on."""
    partitions = []
    for partition in islice(topic["partitions"], start, start + limit):
        state = broker.partition_state(topic["name"], partition["partition_index"])
        elr, last_leaders = [], []
        if state is not None:
            elr = [each for each, _ in state.elr if each in partition["replica_nodes"]]
            is_led = partition["leader_id"] != NO_LEADER or state.leader == NO_LEADER
            last_leaders = [] if is_led else [state.leader]
        partitions.append(
            {**partition, "eligible_leader_replicas": elr, "last_known_elr": last_leaders}
        )
    return {
        **topic,
        "partitions": partitions,
        "topic_authorized_operations": ALL_TOPIC_OPERATIONS,
    }
