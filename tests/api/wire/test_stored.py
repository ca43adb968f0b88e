"""Stored records: golden bytes in the layout that Kafka's coordinator and controller write."""

from typing import Any

import pytest

from headrace.api.wire import codec, registry
from headrace.api.wire.schema import SchemaError
from headrace.api.wire.stored_cluster import KINDS
from tests.support.foreign_codecs import kio_stored_bytes
from tests.support.wire_bodies import default_body, skeleton

TOPIC_ID = bytes(range(16))

# Put together by hand from the published layouts, field by field.
GOLDEN: list[tuple[str, int, dict[str, Any], str]] = [
    (
        "OffsetCommitKey",
        1,
        {"group": "g", "topic": "to", "partition": 3},
        "0001 67 0002 746f 00000003",
    ),
    (
        "OffsetCommitValue",
        1,
        {"offset": 5, "metadata": "m", "commit_timestamp": 7, "expire_timestamp": 8},
        "0000000000000005 0001 6d 0000000000000007 0000000000000008",
    ),
    (
        "OffsetCommitValue",
        3,
        {"offset": 5, "leader_epoch": 2, "metadata": "m", "commit_timestamp": 7},
        "0000000000000005 00000002 0001 6d 0000000000000007",
    ),
    (
        "OffsetCommitValue",
        4,
        {"offset": 5, "leader_epoch": 2, "metadata": "m", "commit_timestamp": 7},
        "0000000000000005 00000002 02 6d 0000000000000007 00",
    ),
    ("GroupMetadataKey", 2, {"group": "g"}, "0001 67"),
    (
        "GroupMetadataValue",
        3,
        {
            "protocol_type": "c",
            "generation": 4,
            "protocol": "r",
            "leader": None,
            "current_state_timestamp": 9,
            "members": [
                {
                    "member_id": "m",
                    "group_instance_id": None,
                    "client_id": "i",
                    "client_host": "h",
                    "rebalance_timeout": 6,
                    "session_timeout": 7,
                    "subscription": b"s",
                    "assignment": b"",
                }
            ],
        },
        "0001 63 00000004 0001 72 ffff 0000000000000009 00000001 0001 6d ffff 0001 69 0001 68"
        "00000006 00000007 00000001 73 00000000",
    ),
    ("TopicRecord", 0, {"name": "t", "topic_id": TOPIC_ID}, "02 74" + TOPIC_ID.hex() + "00"),
    (
        "PartitionRecord",
        1,
        {
            "partition_id": 1,
            "topic_id": TOPIC_ID,
            "replicas": [2],
            "isr": [2],
            "leader": 2,
            "leader_epoch": 3,
            "partition_epoch": 4,
            "directories": [TOPIC_ID],
        },
        "00000001" + TOPIC_ID.hex() + "02 00000002 02 00000002 01 01 00000002 00000003 00000004 02"
        + TOPIC_ID.hex() + "00",
    ),
    (
        "PartitionChangeRecord",
        0,
        {"partition_id": 1, "topic_id": TOPIC_ID, "isr": [1], "leader": 1},
        "00000001" + TOPIC_ID.hex() + "02 00 05 02 00000001 01 04 00000001",
    ),
    (
        "ConfigRecord",
        0,
        {"resource_type": 2, "resource_name": "t", "name": "k", "value": None},
        "02 02 74 02 6b 00 00",
    ),
    ("NoOpRecord", 0, {}, "00"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "version", "body", "golden"), GOLDEN)
def test_a_record_is_written_in_its_published_layout_and_read_back(
    kind: str, version: int, body: dict[str, Any], golden: str
) -> None:
    data = bytes.fromhex(golden)
    assert codec.encode_stored(kind, version, body) == data
    decoded = codec.decode_stored(kind, version, data)
    assert decoded | body == decoded


@pytest.mark.parametrize("version", range(4))
@pytest.mark.parametrize("kind", ["ConsumerProtocolSubscription", "ConsumerProtocolAssignment"])
def test_the_consumer_protocol_is_written_as_others_write_it(kind: str, version: int) -> None:
    message = registry.STORED[kind]
    least = default_body(message.fields, version)
    arrays = skeleton(message.fields, version)
    more = {name: [{"topic": "t", "partitions": [1, 2]}] for name in arrays}
    for body in (least, {**least, **more, "user_data": b"\x00\x01"}):
        assert codec.encode_stored(kind, version, body) == kio_stored_bytes(message, version, body)


def test_cluster_records_are_found_by_their_own_keys() -> None:
    assert (KINDS[2], KINDS[3], KINDS[15]) == (
        "TopicRecord",
        "PartitionRecord",
        "ProducerIdsRecord",
    )


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(SchemaError, match="'Nonsense'"):
        codec.decode_stored("Nonsense", 0, b"")
