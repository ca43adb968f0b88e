"""Answers that say nothing but an error code, for the APIs that a test may want to fail."""

from collections.abc import Callable
from typing import Any

from ..wire.api_keys import ApiKey

Body = dict[str, Any]


def _produce(request: Body, code: int) -> Body:
    return {
        "responses": [
            {
                "name": topic["name"],
                "partition_responses": [
                    {"index": each["index"], "error_code": code, "base_offset": -1}
                    for each in topic["partition_data"]
                ],
            }
            for topic in request["topic_data"]
        ]
    }


def _fetch(request: Body, code: int) -> Body:
    return {
        "responses": [
            {
                "topic": topic["topic"],
                "topic_id": topic["topic_id"],
                "partitions": [
                    {
                        "partition_index": each["partition"],
                        "error_code": code,
                        "high_watermark": -1,
                    }
                    for each in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _each_partition(request: Body, code: int) -> Body:
    """ListOffsets and OffsetCommit."""
    return {
        "topics": [
            {
                **{name: topic[name] for name in ("name", "topic_id") if name in topic},
                "partitions": [
                    {"partition_index": each["partition_index"], "error_code": code}
                    for each in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _offset_fetch(request: Body, code: int) -> Body:
    groups = [
        {"group_id": group["group_id"], "topics": [], "error_code": code}
        for group in request["groups"]
    ]
    topics = [
        {
            "name": topic["name"],
            "partitions": [
                {"partition_index": index, "committed_offset": -1, "error_code": code}
                for index in topic["partition_indexes"]
            ],
        }
        for topic in request["topics"] or ()
    ]
    return {"error_code": code, "topics": topics, "groups": groups}


def _find_coordinator(request: Body, code: int) -> Body:
    nowhere = {"node_id": -1, "host": "", "port": -1, "error_code": code}
    coordinators = [{"key": key, **nowhere} for key in request["coordinator_keys"]]
    return {**nowhere, "coordinators": coordinators}


def _create_topics(request: Body, code: int) -> Body:
    topics = [{"name": topic["name"], "error_code": code} for topic in request["topics"]]
    return {"topics": topics}


def _whole(_request: Body, code: int) -> Body:
    return {"error_code": code}


ERROR_ANSWERS: dict[ApiKey, Callable[[Body, int], Body]] = {
    ApiKey.PRODUCE: _produce,
    ApiKey.FETCH: _fetch,
    ApiKey.LIST_OFFSETS: _each_partition,
    ApiKey.OFFSET_COMMIT: _each_partition,
    ApiKey.OFFSET_FETCH: _offset_fetch,
    ApiKey.FIND_COORDINATOR: _find_coordinator,
    ApiKey.JOIN_GROUP: _whole,
    ApiKey.HEARTBEAT: _whole,
    ApiKey.LEAVE_GROUP: _whole,
    ApiKey.SYNC_GROUP: _whole,
    ApiKey.CREATE_TOPICS: _create_topics,
    ApiKey.INIT_PRODUCER_ID: _whole,
}
