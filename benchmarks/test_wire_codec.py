"""What does it cost to read a request and to write its answer?

One partition for Produce and Fetch (the hot path), many topics for Metadata and OffsetCommit.
"""

from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.api.wire import codec, headers

PRODUCE, FETCH, METADATA, OFFSET_COMMIT = 0, 1, 3, 8
Body = dict[str, Any]


def fetch_response(records: memoryview) -> Body:
    partition = {
        "partition_index": 0,
        "error_code": 0,
        "high_watermark": 100,
        "last_stable_offset": 100,
        "log_start_offset": 0,
        "aborted_transactions": None,
        "preferred_read_replica": -1,
        "records": records,
    }
    return {"responses": [{"topic": "orders", "partitions": [partition]}]}


def metadata_response(topic_count: int) -> Body:
    partition = {"leader_epoch": 1, "replica_nodes": [1], "isr_nodes": [1], "offline_replicas": []}
    partitions = [partition | {"partition_index": index, "leader_id": 1} for index in range(3)]
    names = [f"topic-{index}" for index in range(topic_count)]
    return {
        "brokers": [{"node_id": 1, "host": "localhost", "port": 9092, "rack": None}],
        "cluster_id": "c",
        "controller_id": 1,
        "topics": [{"name": name, "partitions": partitions} for name in names],
    }


def offset_commit(partition_count: int) -> Body:
    partition = {"committed_offset": 5, "committed_leader_epoch": -1, "committed_metadata": ""}
    partitions = [partition | {"partition_index": index} for index in range(partition_count)]
    return {"group_id": "g", "member_id": "m", "topics": [{"name": "t", "partitions": partitions}]}


@pytest.mark.parametrize("version", [7, 9, 11])
@pytest.mark.sizes(100, 16_384)
def test_read_a_produce_request(benchmark: Any, report: Report, size: int, version: int) -> None:
    topic = {"name": "orders", "partition_data": [{"index": 0, "records": bytes(size)}]}
    body = {"acks": -1, "timeout_ms": 30_000, "topic_data": [topic]}
    frame = headers.encode_request_frame(PRODUCE, version, 7, "client", body)

    def read() -> Body:
        _, position = headers.decode_request_header(frame, 4)
        return codec.decode_request(PRODUCE, version, frame, position)

    assert benchmark(read)["topic_data"][0]["name"] == "orders"
    report(frame, size_bytes=size)


@pytest.mark.parametrize("version", [7, 9, 11])
def test_write_a_produce_response(benchmark: Any, report: Report, version: int) -> None:
    partition = {"index": 0, "error_code": 0, "base_offset": 17, "log_start_offset": 0}
    body = {"responses": [{"name": "orders", "partition_responses": [partition]}]}
    pieces = benchmark(codec.encode_response_frame, PRODUCE, version, 7, body)
    report(b"".join(pieces))


@pytest.mark.parametrize("version", [11, 12, 17])
def test_read_a_fetch_request(benchmark: Any, report: Report, version: int) -> None:
    partition = {"partition": 0, "fetch_offset": 17, "partition_max_bytes": 1 << 20}
    body = {"max_wait_ms": 500, "topics": [{"topic": "orders", "partitions": [partition]}]}
    frame = codec.encode_request(FETCH, version, body)
    assert benchmark(codec.decode_request, FETCH, version, frame)["max_wait_ms"] == 500
    report(frame)


@pytest.mark.parametrize("version", [11, 12, 17])
@pytest.mark.sizes(100, 1 << 20)
def test_write_a_fetch_response(benchmark: Any, report: Report, size: int, version: int) -> None:
    body = fetch_response(memoryview(bytes(size)))
    pieces = benchmark(codec.encode_response_frame, FETCH, version, 7, body)
    report(b"".join(pieces), size_bytes=size)


@pytest.mark.sizes(3, 100)
def test_write_a_metadata_response(benchmark: Any, report: Report, size: int) -> None:
    written = benchmark(codec.encode_response, METADATA, 12, metadata_response(size))
    report(written, size_bytes=len(written))


@pytest.mark.sizes(3, 100)
def test_read_an_offset_commit(benchmark: Any, report: Report, size: int) -> None:
    frame = codec.encode_request(OFFSET_COMMIT, 9, offset_commit(size))
    body = benchmark(codec.decode_request, OFFSET_COMMIT, 9, frame)
    assert len(body["topics"][0]["partitions"]) == size
    report(frame, size_bytes=len(frame))
