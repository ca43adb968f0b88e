"""Produce and fetch by hand: one batch a request, and the partition's error code as the result."""

from typing import Any, NamedTuple

from headrace.core.batch_builder import BatchBuilder
from headrace.core.record_batch import iter_batches
from tests.support.requests import Requester

PRODUCE, FETCH, CREATE_TOPICS, DELETE_TOPICS, CREATE_PARTITIONS = 0, 1, 19, 20, 37
LIST_OFFSETS, METADATA = 2, 3
TIMESTAMP_MS = 1_700_000_000_000


class Fetched(NamedTuple):
    """What one Fetch found in one partition: an error, or the values by their offsets."""

    error_code: int
    values: dict[int, bytes | None]


def make_batch(*values: bytes, keys: list[bytes] | None = None, **producer: Any) -> bytes:
    """One batch of records with these values; `producer` makes it an idempotent producer's."""
    builder = BatchBuilder(**producer)
    for number, value in enumerate(values):
        builder.append_record(
            timestamp=TIMESTAMP_MS + number, key=keys[number] if keys else None, value=value
        )
    return bytes(builder.build())


def produce(
    requester: Requester,
    topic: str,
    *values: bytes,
    partition: int = 0,
    acks: int = -1,
    keys: list[bytes] | None = None,
) -> tuple[int, int]:
    """(error code, base offset) of one batch of these values."""
    batch = make_batch(*values, keys=keys)
    return produce_batch(requester, topic, batch, partition=partition, acks=acks)


def produce_batch(
    requester: Requester, topic: str, batch: bytes, *, partition: int = 0, acks: int = -1
) -> tuple[int, int]:
    """(error code, base offset) of a batch."""
    answer = requester.ask(
        PRODUCE,
        9,
        {
            "acks": acks,
            "timeout_ms": 10_000,
            "topic_data": [
                {"name": topic, "partition_data": [{"index": partition, "records": batch}]}
            ],
        },
    )
    told = answer["responses"][0]["partition_responses"][0]
    return told["error_code"], told["base_offset"]


def fetch_once(
    requester: Requester,
    topic: str,
    offset: int,
    *,
    partition: int = 0,
    partition_max_bytes: int = 1 << 20,
) -> Fetched:
    """One Fetch from `offset`; what lies below it in the first batch is left out, as clients do."""
    answer = requester.ask(FETCH, 12, _fetch_request(topic, partition, offset, partition_max_bytes))
    told = answer["responses"][0]["partitions"][0]
    values = {}
    for batch in iter_batches(told["records"]):
        assert batch.crc_is_valid(), f"served with a wrong CRC: offset {batch.base_offset}"
        values.update({record.offset: record.value for record in batch.records()})
    return Fetched(told["error_code"], {k: v for k, v in values.items() if k >= offset})


def _fetch_request(topic: str, partition: int, offset: int, max_bytes: int) -> dict[str, Any]:
    asked = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": max_bytes}
    return {
        "max_wait_ms": 0,
        "min_bytes": 1,
        "max_bytes": 1 << 24,
        "topics": [{"topic": topic, "partitions": [asked]}],
    }


def fetch_all(
    requester: Requester, topic: str, *, partition: int = 0, start: int = 0
) -> dict[int, bytes | None]:
    """Every record from `start` to the high watermark, by offset; any error fails the test."""
    found: dict[int, bytes | None] = {}
    offset = start
    while True:
        error_code, values = fetch_once(requester, topic, offset, partition=partition)
        assert error_code == 0, error_code
        if not values:
            return found
        found.update(values)
        offset = max(values) + 1


def create_topic(
    requester: Requester,
    name: str,
    partition_count: int = 1,
    configs: dict[str, str] | None = None,
) -> tuple[int, str | None]:
    """(error code, message) of CreateTopics for one topic."""
    spec = {
        "name": name,
        "num_partitions": partition_count,
        "replication_factor": 1,
        "assignments": [],
        "configs": [{"name": key, "value": text} for key, text in (configs or {}).items()],
    }
    body = {"topics": [spec], "timeout_ms": 10_000, "validate_only": False}
    told = requester.ask(CREATE_TOPICS, 7, body)["topics"][0]
    return told["error_code"], told["error_message"]


def grow_topic(requester: Requester, name: str, partition_count: int) -> tuple[int, str | None]:
    """(error code, message) of CreatePartitions for one topic."""
    spec = {"name": name, "count": partition_count, "assignments": None}
    body = {"topics": [spec], "timeout_ms": 10_000, "validate_only": False}
    told = requester.ask(CREATE_PARTITIONS, 3, body)["results"][0]
    return told["error_code"], told["error_message"]


def delete_topic(requester: Requester, name: str) -> int:
    """The error code of DeleteTopics for one topic."""
    body = {"topics": [{"name": name, "topic_id": bytes(16)}], "timeout_ms": 10_000}
    code: int = requester.ask(DELETE_TOPICS, 6, body)["responses"][0]["error_code"]
    return code


def partitions_of(requester: Requester, topic: str) -> dict[int, int]:
    """Error code by partition, from Metadata; empty where there is no such topic."""
    asked = {"topics": [{"topic_id": bytes(16), "name": topic}]}
    body = {**asked, "allow_auto_topic_creation": False}
    told = requester.ask(METADATA, 12, body)["topics"][0]
    return {each["partition_index"]: each["error_code"] for each in told["partitions"]}


def list_offset(requester: Requester, topic: str, timestamp: int, *, partition: int = 0) -> int:
    """The offset that ListOffsets tells for a timestamp or one of the special ones."""
    asked = {"partition_index": partition, "current_leader_epoch": -1, "timestamp": timestamp}
    body = {
        "replica_id": -1,
        "isolation_level": 0,
        "topics": [{"name": topic, "partitions": [asked]}],
    }
    told = requester.ask(LIST_OFFSETS, 6, body)["topics"][0]["partitions"][0]
    assert told["error_code"] == 0, told
    offset: int = told["offset"]
    return offset
