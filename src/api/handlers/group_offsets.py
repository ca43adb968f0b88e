"""Committed offsets: OffsetCommit (8) 2-10, OffsetFetch (9) 1-10, OffsetDelete (47) 0.

Behaviour: a commit is answered once it passed the high watermark of __consumer_offsets; each
    partition has its own error, and what fences the request is told for all of them.  A partition
    without a committed offset, or a group that does not exist, fetches offset -1 without an error.
Versions: OffsetCommit 2-4 retention_time_ms, 6 leader epoch (KIP-320), 7 static members, 9 tells
    an unknown group apart, 10 topic ids; OffsetFetch 1 has no error beside the partitions', 2 null
    asks for all topics, 7 require_stable (KIP-447), 8 many groups (KIP-709), 10 topic ids.
Not done: transactional offsets, so require_stable never has to wait; epochs of KIP-848 members.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ...core.kafka_uuid import ZERO_UUID
from ...raft.errors import UnknownTopicIdError, UnknownTopicOrPartitionError
from ..coordinator.errors import GroupError
from ..coordinator.offset_store import CommittedOffset, TopicPartition
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ...raft.topic_image import TopicImage
    from ..broker import Broker

Body = dict[str, Any]
Answer = Body | Awaitable[Body]

COMMIT_UNKNOWN_GROUP_VERSION = 9
TOPIC_IDS_VERSION = 10
FETCH_GROUP_ERROR_VERSION = 2
FETCH_MANY_GROUPS_VERSION = 8
NO_OFFSET = CommittedOffset(offset=-1)


# -- commit ---------------------------------------------------------------------------------


def handle_offset_commit(broker: "Broker", context: RequestContext, request: Body) -> Answer:
    """OffsetCommit (API key 8), versions 2-10."""
    now_ms = broker.clock.now_ms()
    retention_ms = request.get("retention_time_ms", -1)
    expire_timestamp_ms = None if retention_ms < 0 else now_ms + retention_ms
    offsets: dict[TopicPartition, CommittedOffset] = {}
    refused: dict[tuple[Any, int], HeadraceError] = {}
    for topic in request["topics"]:
        named = _topic_key(topic)
        for partition in topic["partitions"]:
            index = partition["partition_index"]
            try:
                image = _known_partition(broker, topic, index)
            except HeadraceError as error:
                refused[named, index] = error
                continue
            offsets[image.name, index] = CommittedOffset(
                offset=partition["committed_offset"],
                leader_epoch=partition.get("committed_leader_epoch", -1),
                metadata=partition["committed_metadata"] or "",
                commit_timestamp_ms=now_ms,
                expire_timestamp_ms=expire_timestamp_ms,
            )
    if not offsets:
        return _commit_body(broker, request, refused, {})
    return _commit(broker, context, request, offsets, refused)


def _commit(
    broker: "Broker",
    context: RequestContext,
    request: Body,
    offsets: Mapping[TopicPartition, CommittedOffset],
    refused: Mapping[tuple[Any, int], HeadraceError],
) -> Answer:
    future: asyncio.Future[Body] = asyncio.get_running_loop().create_future()

    def on_committed(errors: Mapping[TopicPartition, GroupError]) -> None:
        if not future.done():  # cancelled when its connection closed
            future.set_result(_commit_body(broker, request, refused, errors))

    try:
        broker.groups.commit_offsets(
            request["group_id"],
            member_id=request["member_id"],
            group_instance_id=request.get("group_instance_id"),
            generation_id=request["generation_id_or_member_epoch"],
            offsets=offsets,
            on_committed=on_committed,
            unknown_group_is_not_found=context.api_version >= COMMIT_UNKNOWN_GROUP_VERSION,
        )
    except GroupError as error:
        return _commit_body(broker, request, refused, dict.fromkeys(offsets, error))
    return future.result() if future.done() else future


def _commit_body(
    broker: "Broker",
    request: Body,
    refused: Mapping[tuple[Any, int], HeadraceError],
    errors: Mapping[TopicPartition, GroupError],
) -> Body:
    topics = []
    for topic in request["topics"]:
        named = _topic_key(topic)
        name = _topic_name(broker, topic)
        partitions = []
        for partition in topic["partitions"]:
            index = partition["partition_index"]
            error = refused.get((named, index)) or errors.get((name or "", index))
            code = ErrorCode.NONE if error is None else error_code_of(error)
            partitions.append({"partition_index": index, "error_code": code})
        topics.append({**_wire_name(topic), "partitions": partitions})
    return {"topics": topics}


# -- fetch ----------------------------------------------------------------------------------


def handle_offset_fetch(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """OffsetFetch (API key 9), versions 1-10."""
    version = context.api_version
    if version >= FETCH_MANY_GROUPS_VERSION:
        return {"groups": [_fetch_group(broker, version, group) for group in request["groups"]]}
    answer = _fetch_group(broker, version, request)
    if version < FETCH_GROUP_ERROR_VERSION and answer["error_code"] != ErrorCode.NONE:
        code = answer["error_code"]
        return {
            "topics": [
                {
                    "name": topic["name"],
                    "partitions": [
                        _offset_body(index, NO_OFFSET, code) for index in topic["partition_indexes"]
                    ],
                }
                for topic in request["topics"]
            ]
        }
    del answer["group_id"]
    return answer


def _fetch_group(broker: "Broker", api_version: int, asked: Body) -> Body:
    group_id = asked["group_id"]
    try:
        committed = broker.groups.fetch_offsets(group_id)
    except GroupError as error:
        return {"group_id": group_id, "topics": [], "error_code": error_code_of(error)}
    if asked["topics"] is None:
        topics = list(_all_topics(broker, api_version, committed))
    else:
        topics = [_fetch_topic(broker, topic, committed) for topic in asked["topics"]]
    return {"group_id": group_id, "topics": topics, "error_code": ErrorCode.NONE}


def _fetch_topic(
    broker: "Broker", asked: Body, committed: Mapping[TopicPartition, CommittedOffset]
) -> Body:
    name = _topic_name(broker, asked)
    code = ErrorCode.NONE if name is not None else ErrorCode.UNKNOWN_TOPIC_ID
    partitions = [
        _offset_body(index, committed.get((name or "", index), NO_OFFSET), code)
        for index in asked["partition_indexes"]
    ]
    return {**_wire_name(asked), "partitions": partitions}


def _all_topics(
    broker: "Broker", api_version: int, committed: Mapping[TopicPartition, CommittedOffset]
) -> Iterator[Body]:
    by_topic: dict[str, list[Body]] = {}
    for (name, index), offset in committed.items():
        by_topic.setdefault(name, []).append(_offset_body(index, offset, ErrorCode.NONE))
    for name, partitions in by_topic.items():
        if api_version < TOPIC_IDS_VERSION:
            yield {"name": name, "partitions": partitions}
            continue
        image = broker.cluster_state.topics.get(name)
        if image is not None:
            yield {"topic_id": image.topic_id, "partitions": partitions}


def _offset_body(index: int, offset: CommittedOffset, error_code: ErrorCode) -> Body:
    return {
        "partition_index": index,
        "committed_offset": offset.offset,
        "committed_leader_epoch": offset.leader_epoch,
        "metadata": offset.metadata,
        "error_code": error_code,
    }


# -- delete ---------------------------------------------------------------------------------


def handle_offset_delete(broker: "Broker", _context: RequestContext, request: Body) -> Body:
    """OffsetDelete (API key 47), version 0."""
    refused: dict[TopicPartition, HeadraceError] = {}
    wanted: list[TopicPartition] = []
    for topic in request["topics"]:
        for partition in topic["partitions"]:
            key = (topic["name"], partition["partition_index"])
            try:
                _known_partition(broker, topic, key[1])
                wanted.append(key)
            except HeadraceError as error:
                refused[key] = error
    try:
        refused.update(broker.groups.delete_offsets(request["group_id"], wanted))
    except GroupError as error:
        return {"error_code": error_code_of(error), "topics": []}
    return {
        "error_code": ErrorCode.NONE,
        "topics": [
            {
                "name": topic["name"],
                "partitions": [
                    _deleted_body(partition["partition_index"], topic["name"], refused)
                    for partition in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ],
    }


def _deleted_body(index: int, name: str, refused: Mapping[TopicPartition, HeadraceError]) -> Body:
    error = refused.get((name, index))
    code = ErrorCode.NONE if error is None else error_code_of(error)
    return {"partition_index": index, "error_code": code}


# -- topics by name or id -------------------------------------------------------------------


def _topic_key(topic: Body) -> str | bytes:
    """What identifies the topic in its request: its id from v10 on, else its name."""
    topic_id: bytes = topic.get("topic_id", ZERO_UUID)
    name: str = topic.get("name", "")
    return name if topic_id == ZERO_UUID else topic_id


def _wire_name(topic: Body) -> Body:
    return {key: topic[key] for key in ("name", "topic_id") if key in topic}


def _topic_name(broker: "Broker", topic: Body) -> str | None:
    """The topic's name; None for an id that no topic has."""
    key = _topic_key(topic)
    if isinstance(key, str):
        return key if key or "topic_id" not in topic else None
    image = broker.cluster_state.topic_by_id(key)
    return None if image is None else image.name


def _known_partition(broker: "Broker", topic: Body, index: int) -> "TopicImage":
    name = _topic_name(broker, topic)
    if name is None:
        raise UnknownTopicIdError("no topic has this id")
    image = broker.cluster_state.topics.get(name)
    if image is None or not 0 <= index < image.partition_count:
        raise UnknownTopicOrPartitionError(f"there is no partition {name}-{index}", name, index)
    return image
