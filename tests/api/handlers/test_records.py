"""DeleteRecords: per partition the new low watermark, or why not."""

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.handlers.records import handle_delete_records
from headrace.api.wire.error_codes import ErrorCode
from headrace.core.errors import OffsetOutOfRangeError
from headrace.core.log_config import LogConfig
from headrace.raft.errors import UnknownTopicOrPartitionError
from tests.support.admin_broker import ask_now


class Partition:
    """Ten records, the first at offset 0."""

    def __init__(self, config: LogConfig) -> None:
        self.log = SimpleNamespace(config=config)
        self.low_watermark = 0

    def delete_records(self, offset: int) -> int:
        if offset > 10:
            raise OffsetOutOfRangeError(offset, 0, 10)
        self.low_watermark = 10 if offset == -1 else offset
        return self.low_watermark

    def wait_for_low_watermark(self, offset: int, on_passed: Any) -> Any:
        assert offset == self.low_watermark
        on_passed(None)


class Replicas:
    def __init__(self, config: LogConfig) -> None:
        self.config = config

    def partition(self, topic: str, index: int) -> Partition:
        if (topic, index) != ("clicks", 0):
            raise UnknownTopicOrPartitionError(topic)
        return Partition(self.config)


def delete(
    offset: int, *, index: int = 0, version: int = 2, config: LogConfig | None = None
) -> Any:
    partitions = [{"partition_index": index, "offset": offset}]
    request = {"topics": [{"name": "clicks", "partitions": partitions}], "timeout_ms": 1}
    broker = SimpleNamespace(replicas=Replicas(config or LogConfig()))
    answer = ask_now(broker, handle_delete_records, 21, version, request)
    (partition,) = answer["topics"][0]["partitions"]
    return ErrorCode(partition["error_code"]), partition["low_watermark"]


@pytest.mark.parametrize("version", range(3))
def test_low_watermark_is_the_offset_deleted_up_to(version: int) -> None:
    assert delete(4, version=version) == (ErrorCode.NONE, 4)


def test_minus_one_deletes_up_to_the_high_watermark() -> None:
    assert delete(-1) == (ErrorCode.NONE, 10)


def test_what_cannot_be_deleted_is_told_with_a_code() -> None:
    assert delete(11) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert delete(-2) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert delete(1, index=1) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)


def test_compacted_topic_refuses_unless_it_also_deletes() -> None:
    compacted = LogConfig(cleanup_policy=frozenset({"compact"}))
    assert delete(1, config=compacted) == (ErrorCode.POLICY_VIOLATION, -1)
    both = LogConfig(cleanup_policy=frozenset({"compact", "delete"}))
    assert delete(1, config=both) == (ErrorCode.NONE, 1)
