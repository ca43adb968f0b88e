"""The records of __consumer_offsets, against bytes that Kafka's own layout prescribes."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.coordinator.group import Group, GroupMember
from headrace.api.coordinator.group_records import (
    GroupRecord,
    OffsetRecord,
    group_record,
    group_tombstone,
    offset_record,
    read_record,
    restore_group,
)
from headrace.api.coordinator.group_state import GroupState
from headrace.api.coordinator.offset_store import CommittedOffset
from headrace.core.errors import MalformedBytesError

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=20)


def text(value: str) -> bytes:
    return pack(">h", len(value.encode())) + value.encode()


def test_a_commit_is_key_version_1_and_value_version_3() -> None:
    # Bytes written down from OffsetCommitKey.json and OffsetCommitValue.json of Apache Kafka.
    committed = CommittedOffset(offset=42, leader_epoch=7, metadata="m", commit_timestamp_ms=99)
    key, value = offset_record("g", "clicks", 3, committed)
    assert key == pack(">h", 1) + text("g") + text("clicks") + pack(">i", 3)
    assert value == pack(">hqi", 3, 42, 7) + text("m") + pack(">q", 99)


def test_a_commit_with_a_retention_of_its_own_is_value_version_1() -> None:
    committed = CommittedOffset(offset=42, commit_timestamp_ms=99, expire_timestamp_ms=100)
    _, value = offset_record("g", "clicks", 3, committed)
    assert value == pack(">hq", 1, 42) + text("") + pack(">qq", 99, 100)


def test_a_group_is_key_version_2_and_value_version_3() -> None:
    group = Group("g", 0, entered_at_ms=55)
    group.generation_id = 4
    group.protocol_name = "range"
    group.add_member(
        GroupMember(
            member_id="m-1",
            group_instance_id=None,
            client_id="c",
            client_host="/h",
            rebalance_timeout_ms=60_000,
            session_timeout_ms=10_000,
            protocols=(("range", b"sub"),),
        ),
        "consumer",
    )
    key, value = group_record(group, {"m-1": b"plan"})
    assert key == pack(">h", 2) + text("g")
    assert value == (
        pack(">h", 3)
        + text("consumer")
        + pack(">i", 4)
        + text("range")
        + text("m-1")
        + pack(">qi", 55, 1)
        + text("m-1")
        + pack(">h", -1)
        + text("c")
        + text("/h")
        + pack(">ii", 60_000, 10_000)
        + pack(">i", 3)
        + b"sub"
        + pack(">i", 4)
        + b"plan"
    )


@given(TEXT, TEXT, st.integers(0, 2**31 - 1), INT64, st.integers(-1, 2**31 - 1), TEXT, INT64)
def test_commits_come_back_as_they_were(
    group: str, topic: str, partition: int, offset: int, epoch: int, note: str, at_ms: int
) -> None:
    committed = CommittedOffset(
        offset=offset, leader_epoch=epoch, metadata=note, commit_timestamp_ms=at_ms
    )
    found = read_record(*offset_record(group, topic, partition, committed))
    assert found == OffsetRecord(group, topic, partition, committed)


def test_tombstones_name_what_they_delete() -> None:
    assert read_record(*offset_record("g", "t", 1, None)) == OffsetRecord("g", "t", 1, None)
    assert read_record(*group_tombstone("g")) == GroupRecord("g", None)


def test_a_group_is_restored_with_members_and_assignment() -> None:
    group = Group("g", 0, entered_at_ms=55)
    group.generation_id = 4
    group.protocol_name = "range"
    for name, instance in (("m-1", None), ("m-2", "node-2")):
        member = GroupMember(
            member_id=name,
            group_instance_id=instance,
            client_id="c",
            client_host="/h",
            rebalance_timeout_ms=60_000,
            session_timeout_ms=10_000,
            protocols=(("range", name.encode()), ("sticky", b"")),
        )
        group.add_member(member, "consumer")
    group.leader_id = "m-2"
    record = read_record(*group_record(group, {"m-1": b"p0"}))
    assert isinstance(record, GroupRecord)
    assert record.value is not None
    restored = Group("g", 0)
    restore_group(restored, record.value)
    assert restored.state is GroupState.STABLE
    assert (restored.generation_id, restored.leader_id) == (4, "m-2")
    assert restored.static_members == {"node-2": "m-2"}
    assert restored.members["m-1"].assignment == b"p0"
    assert restored.members["m-2"].metadata_for("range") == b"m-2"
    assert restored.states.entered_at_ms == 55


def test_records_of_other_kinds_are_passed_over() -> None:
    assert read_record(pack(">h", 3) + text("g"), b"\x00\x00whatever") is None


def test_an_unknown_value_version_is_said() -> None:
    key, _ = offset_record("g", "t", 1, None)
    with pytest.raises(MalformedBytesError, match="version 5"):
        read_record(key, pack(">h", 5))


@given(st.binary(max_size=60), st.none() | st.binary(max_size=60))
def test_random_bytes_raise_only_the_documented_error(key: bytes, value: bytes | None) -> None:
    for prefix in (b"", b"\x00\x01", b"\x00\x02"):
        try:
            read_record(prefix + key, value)
        except MalformedBytesError:
            continue
