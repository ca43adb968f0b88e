"""Requests as the bytes that a client sends, for benchmarks of whole requests."""

from headrace.api.wire import headers
from headrace.core.batch_builder import BatchBuilder
from headrace.core.clock import SystemClock

PRODUCE, FETCH = 0, 1
FETCH_VERSION = 12
VALUE_BYTES = 100


def batch_of(record_count: int, value_bytes: int = VALUE_BYTES) -> bytes:
    """A batch stamped with the present time, values all alike."""
    builder = BatchBuilder()
    for _ in range(record_count):
        builder.append_record(timestamp=SystemClock().now_ms(), key=None, value=b"v" * value_bytes)
    return bytes(builder.build())


def produce_frame(version: int, batch: bytes, topic: str = "clicks", acks: int = 1) -> bytes:
    """A Produce request of one partition, size prefix included."""
    partition = {"index": 0, "records": batch}
    topics = [{"name": topic, "partition_data": [partition]}]
    body = {"acks": acks, "timeout_ms": 30_000, "topic_data": topics}
    return bytes(headers.encode_request_frame(PRODUCE, version, 7, "client", body))


def fetch_frame(
    fetch_offset: int, max_bytes: int, *, max_wait_ms: int = 0, isolation_level: int = 0
) -> bytes:
    """A Fetch request of one partition, in no session."""
    partition = {
        "partition": 0,
        "fetch_offset": fetch_offset,
        "partition_max_bytes": max_bytes,
    }
    body = {
        "max_wait_ms": max_wait_ms,
        "min_bytes": 1,
        "max_bytes": max_bytes,
        "isolation_level": isolation_level,
        "topics": [{"topic": "clicks", "partitions": [partition]}],
    }
    return bytes(headers.encode_request_frame(FETCH, FETCH_VERSION, 7, "client", body))
