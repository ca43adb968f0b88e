"""The records of __consumer_offsets: committed offsets and group metadata, in Kafka's own format.

    KEY      int16 version, then 0-1: OffsetCommitKey (group, topic, partition)
                                 2: GroupMetadataKey (group)
    VALUE    int16 version, then OffsetCommitValue or GroupMetadataValue; null deletes

Written: OffsetCommitKey v1 with OffsetCommitValue v3 (v1 when the commit carries its own
expire time), GroupMetadataKey v2 with GroupMetadataValue v3.  Read: everything up to v4.
Other key versions (KIP-848 groups, share groups) are not ours and are passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Any

from ...core.errors import MalformedBytesError
from ..wire.codec import decode_stored, encode_stored
from .group import Group, GroupMember
from .group_state import GroupEvent
from .offset_store import CommittedOffset

StoredRecord = tuple[bytes, bytes | None]  # key, value

_VERSION = Struct(">h")
VERSION_BYTES = _VERSION.size
_HIGHEST_VALUE_VERSION = 4
_OFFSET_KEY_VERSIONS = (0, 1)
_GROUP_KEY_VERSION = 2
_NO_TIMESTAMP = -1


@dataclass(frozen=True, slots=True)
class OffsetRecord:
    """A committed offset as read back; `committed` is None for a tombstone."""

    group_id: str
    topic: str
    partition: int
    committed: CommittedOffset | None


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group's metadata as read back; `value` is None for a tombstone."""

    group_id: str
    value: Mapping[str, Any] | None


def offset_record(
    group_id: str, topic: str, partition: int, committed: CommittedOffset | None
) -> StoredRecord:
    """The record of one committed offset, or its tombstone."""
    key = {"group": group_id, "topic": topic, "partition": partition}
    if committed is None:
        return _encode("OffsetCommitKey", 1, key), None
    version = 3 if committed.expire_timestamp_ms is None else 1
    value: dict[str, Any] = {
        "offset": committed.offset,
        "metadata": committed.metadata,
        "commit_timestamp": committed.commit_timestamp_ms,
    }
    if committed.expire_timestamp_ms is None:
        value["leader_epoch"] = committed.leader_epoch
    else:
        value["expire_timestamp"] = committed.expire_timestamp_ms
    return _encode("OffsetCommitKey", 1, key), _encode("OffsetCommitValue", version, value)


def group_tombstone(group_id: str) -> StoredRecord:
    """The record that ends a group."""
    return _encode("GroupMetadataKey", _GROUP_KEY_VERSION, {"group": group_id}), None


def group_record(group: Group, assignment: Mapping[str, bytes]) -> StoredRecord:
    """The record of a group's members and generation, with `assignment` by member id."""
    key = _encode("GroupMetadataKey", _GROUP_KEY_VERSION, {"group": group.group_id})
    entered_at_ms = group.states.entered_at_ms
    value = {
        "protocol_type": group.protocol_type or "",
        "generation": group.generation_id,
        "protocol": group.protocol_name,
        "leader": group.leader_id,
        "current_state_timestamp": _NO_TIMESTAMP if entered_at_ms is None else entered_at_ms,
        "members": [
            {
                "member_id": member.member_id,
                "group_instance_id": member.group_instance_id,
                "client_id": member.client_id,
                "client_host": member.client_host,
                "rebalance_timeout": member.rebalance_timeout_ms,
                "session_timeout": member.session_timeout_ms,
                "subscription": member.metadata_for(group.protocol_name),
                "assignment": assignment.get(member.member_id, b""),
            }
            for member in group.members.values()
        ],
    }
    return key, _encode("GroupMetadataValue", 3, value)


class RecordKind(Enum):
    """What a key is of."""

    OFFSET = "offset"
    GROUP = "group"
    FOREIGN = "foreign"


def kind_of_key(key: bytes) -> RecordKind:
    """Told by its version alone; raises MalformedBytesError where it has none."""
    version = _version_of(key)
    if version in _OFFSET_KEY_VERSIONS:
        return RecordKind.OFFSET
    return RecordKind.GROUP if version == _GROUP_KEY_VERSION else RecordKind.FOREIGN


def check_value_version(value: bytes) -> None:
    """Raise MalformedBytesError for a value of a version that is not known."""
    _value_version(value, "value")


def read_record(key: bytes, value: bytes | None) -> OffsetRecord | GroupRecord | None:
    """What a record of __consumer_offsets says; None for kinds that are not ours.

    Raises MalformedBytesError for bytes that break the layout of their version.
    """
    key_version = _version_of(key)
    if key_version in _OFFSET_KEY_VERSIONS:
        fields = decode_stored("OffsetCommitKey", key_version, key, _VERSION.size)
        committed = None if value is None else _read_committed(value)
        return OffsetRecord(fields["group"], fields["topic"], fields["partition"], committed)
    if key_version == _GROUP_KEY_VERSION:
        fields = decode_stored("GroupMetadataKey", key_version, key, _VERSION.size)
        return GroupRecord(fields["group"], None if value is None else _read_group_value(value))
    return None


def restore_group(group: Group, value: Mapping[str, Any]) -> None:
    """Make `group`, fresh and empty, what a stored GroupMetadataValue says."""
    entered_at_ms = value.get("current_state_timestamp", _NO_TIMESTAMP)
    group.states.entered_at_ms = None if entered_at_ms == _NO_TIMESTAMP else entered_at_ms
    group.generation_id = value["generation"]
    group.protocol_type = value["protocol_type"] or None
    group.protocol_name = value["protocol"]
    for fields in value["members"]:
        session_timeout_ms = fields["session_timeout"]
        rebalance_timeout_ms = fields.get("rebalance_timeout", -1)
        member = GroupMember(
            member_id=fields["member_id"],
            group_instance_id=fields.get("group_instance_id"),
            client_id=fields["client_id"],
            client_host=fields["client_host"],
            rebalance_timeout_ms=(
                session_timeout_ms if rebalance_timeout_ms < 0 else rebalance_timeout_ms
            ),
            session_timeout_ms=session_timeout_ms,
            protocols=((value["protocol"] or "", bytes(fields["subscription"])),),
            assignment=bytes(fields["assignment"]),
        )
        group.add_member(member, group.protocol_type)
    if group.members:
        group.leader_id = value["leader"] or group.leader_id
        group.states.on_event(GroupEvent.MEMBERS_LOADED, now_ms=group.states.entered_at_ms)
    group.refresh_subscription()


def _read_committed(value: bytes) -> CommittedOffset:
    version = _value_version(value, "OffsetCommitValue")
    fields = decode_stored("OffsetCommitValue", version, value, _VERSION.size)
    expire_timestamp_ms = fields.get("expire_timestamp", _NO_TIMESTAMP)
    return CommittedOffset(
        offset=fields["offset"],
        leader_epoch=fields.get("leader_epoch", -1),
        metadata=fields["metadata"],
        commit_timestamp_ms=fields["commit_timestamp"],
        expire_timestamp_ms=None if expire_timestamp_ms == _NO_TIMESTAMP else expire_timestamp_ms,
    )


def _read_group_value(value: bytes) -> Mapping[str, Any]:
    version = _value_version(value, "GroupMetadataValue")
    return decode_stored("GroupMetadataValue", version, value, _VERSION.size)


def _encode(kind: str, version: int, body: dict[str, Any]) -> bytes:
    return _VERSION.pack(version) + encode_stored(kind, version, body)


def _version_of(data: bytes) -> int:
    if len(data) < _VERSION.size:
        raise MalformedBytesError(f"{len(data)} bytes are too few for a record's version", 0)
    version: int = _VERSION.unpack_from(data)[0]
    return version


def _value_version(value: bytes, kind: str) -> int:
    version = _version_of(value)
    if not 0 <= version <= _HIGHEST_VALUE_VERSION:
        raise MalformedBytesError(f"{kind} version {version} is not known", 0)
    return version
