"""The codec: golden frames, defaults, null, tagged fields, views, and refusals."""

import pytest

from headrace.api.wire import codec
from headrace.api.wire.schema import SchemaError
from headrace.core.errors import MalformedBytesError

# Written down by hand from the layout in the protocol guide.
PRODUCE_V9 = bytes.fromhex(
    "00"  # transactional_id null
    "ffff 00007530"  # acks -1, timeout_ms 30000
    "02 03 7431"  # one topic, "t1"
    "02 00000007"  # one partition, index 7
    "04 616263"  # records "abc"
    "00 00 00"  # tag buffers of partition, topic, request
)
PRODUCE_V3 = bytes.fromhex(
    "ffff ffff 00007530 00000001 0002 7431 00000001 00000007 00000003 616263"
)


@pytest.mark.parametrize(("version", "frame"), [(3, PRODUCE_V3), (9, PRODUCE_V9)])
def test_a_produce_request_is_read_and_written_as_the_guide_lays_it_out(
    version: int, frame: bytes
) -> None:
    body = codec.decode_request(0, version, frame)
    partition = body["topic_data"][0]["partition_data"][0]
    assert (body["transactional_id"], body["acks"], body["timeout_ms"]) == (None, -1, 30000)
    assert (partition["index"], bytes(partition["records"])) == (7, b"abc")
    assert codec.encode_request(0, version, body) == frame


def test_records_are_lent_from_the_request_and_not_copied() -> None:
    frame = bytearray(PRODUCE_V3)
    partition = codec.decode_request(0, 3, frame)["topic_data"][0]["partition_data"][0]
    frame[-1] = ord("X")
    assert bytes(partition["records"]) == b"abX"


def test_a_body_may_begin_inside_a_frame() -> None:
    body = codec.decode_request(0, 3, b"\xee" * 5 + PRODUCE_V3, 5)
    assert body["topic_data"][0]["name"] == "t1"


def test_fields_that_a_version_lacks_decode_as_their_defaults() -> None:
    body = codec.decode_request(1, 4, codec.encode_request(1, 4, {"topics": [{"topic": "a"}]}))
    assert body["replica_state"] == {"replica_id": -1, "replica_epoch": -1}
    assert body["forgotten_topics_data"] == []
    assert (body["cluster_id"], body["session_epoch"]) == (None, -1)
    assert body["topics"][0]["topic_id"] == bytes(16)


def test_defaults_are_not_shared_between_bodies() -> None:
    frame = codec.encode_request(1, 4, {})
    codec.decode_request(1, 4, frame)["forgotten_topics_data"].append("x")
    codec.decode_request(1, 4, frame)["replica_state"]["replica_id"] = 9
    again = codec.decode_request(1, 4, frame)
    assert again["forgotten_topics_data"] == []
    assert again["replica_state"]["replica_id"] == -1


def test_tagged_fields_are_sent_only_when_they_say_something() -> None:
    silent = codec.encode_response(0, 10, {"responses": [{"name": "t", "partition_responses": []}]})
    assert silent == bytes.fromhex("02 02 74 01 00 00000000 00")
    default_leader = {"leader_id": -1, "leader_epoch": -1}
    partition = {"index": 0, "current_leader": default_leader}
    same = [{"name": "t", "partition_responses": [partition]}]
    less = [{"name": "t", "partition_responses": [{"index": 0, "current_leader": {}}]}]
    assert codec.encode_response(0, 10, {"responses": same}) == codec.encode_response(
        0, 10, {"responses": less}
    )


def test_tagged_fields_come_back() -> None:
    leader = {"leader_id": 3, "leader_epoch": 8}
    partition = {"index": 0, "current_leader": leader}
    body = {"responses": [{"name": "t", "partition_responses": [partition]}]}
    again = codec.decode_response(0, 10, codec.encode_response(0, 10, body))
    assert again["responses"][0]["partition_responses"][0]["current_leader"] == leader


def test_unknown_tagged_fields_are_stepped_over() -> None:
    frame = PRODUCE_V9[:-1] + bytes.fromhex("02 05 03 010203 63 00")
    assert codec.decode_request(0, 9, frame)["acks"] == -1


def test_a_tagged_field_of_another_size_than_declared_is_malformed() -> None:
    body = {"replica_state": {"replica_id": 1, "replica_epoch": 1}}
    frame = codec.encode_request(1, 15, body)
    at = frame.rindex(bytes.fromhex("01 0d 00000001"))
    with pytest.raises(MalformedBytesError, match="should end at"):
        codec.decode_request(1, 15, frame[: at + 1] + b"\x0c" + frame[at + 2 :])


def test_null_where_it_is_not_allowed_is_malformed() -> None:
    with pytest.raises(MalformedBytesError, match="topic_data may not be null"):
        codec.decode_request(0, 9, bytes.fromhex("00 ffff 00007530 00 00"))


def test_an_array_longer_than_its_bytes_is_refused_before_anything_is_made() -> None:
    with pytest.raises(MalformedBytesError, match="declared"):
        codec.decode_request(3, 1, bytes.fromhex("7fffffff") + bytes(100))
    with pytest.raises(MalformedBytesError, match="at least 2 bytes"):
        codec.decode_request(3, 1, bytes.fromhex("00000040") + bytes(100))


def test_a_message_of_more_elements_than_the_bound_is_refused() -> None:
    frame = (1_000_001).to_bytes(4, "big") + bytes(2 * 1_000_001)
    with pytest.raises(MalformedBytesError, match="1000000 elements"):
        codec.decode_request(3, 1, frame)


def test_a_string_that_is_not_utf8_is_malformed() -> None:
    with pytest.raises(MalformedBytesError, match=r"not UTF-8.*byte 7"):
        codec.decode_request(3, 1, bytes.fromhex("00000001 0002 41ff"))


def test_large_records_are_lent_to_the_response() -> None:
    records = memoryview(bytes(5000))
    small = b"s" * 10
    body = {
        "responses": [
            {
                "topic": "t",
                "partitions": [
                    {"partition_index": 0, "records": records},
                    {"partition_index": 1, "records": small},
                ],
            }
        ]
    }
    pieces = codec.encode_response_pieces(1, 11, body)
    assert [len(piece) for piece in pieces if isinstance(piece, memoryview)] == [5000]
    assert any(isinstance(piece, memoryview) and piece.obj is records.obj for piece in pieces)
    assert b"".join(pieces) == codec.encode_response(1, 11, body)


@pytest.mark.parametrize("api_version", [4, 11, 12])
def test_a_frame_is_its_size_its_header_and_the_response(api_version: int) -> None:
    body = {"responses": [{"topic": "t", "partitions": [{"records": bytes(9000)}]}]}
    frame = b"".join(codec.encode_response_frame(1, api_version, 77, body))
    tags = b"\x00" if api_version == 12 else b""
    expected = b"\x00\x00\x00\x4d" + tags + codec.encode_response(1, api_version, body)
    assert frame == len(expected).to_bytes(4, "big") + expected


def test_a_wrong_value_names_the_field() -> None:
    with pytest.raises(OverflowError) as caught:
        codec.encode_request(0, 9, {"acks": 40000})
    assert "in the field acks" in caught.value.__notes__


def test_a_name_that_is_never_declared_is_refused_while_tests_run() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        codec.encode_request(0, 9, {"nonsense": 1})


def test_a_version_that_is_not_declared_is_named() -> None:
    with pytest.raises(SchemaError, match="from version 3 to 11, not 12"):
        codec.decode_request(0, 12, b"")
