"""What commands ask about consumer groups, over an `AdminClient`."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..wire.api_keys import ApiKey
from ..wire.error_codes import ErrorCode
from .admin_client import OFFSET_API_MAX_VERSION, AdminClient, CommittedOffset, check


@dataclass(frozen=True, slots=True)
class GroupListing:
    """One group as ListGroups tells it."""

    group_id: str
    protocol_type: str
    state: str
    group_type: str


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member and what it was assigned: topic -> partitions, None where it is not readable."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    assignment: dict[str, list[int]] | None


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """One group as DescribeGroups tells it; a group that is not there has the state Dead."""

    group_id: str
    state: str
    protocol_type: str
    protocol: str
    members: tuple[GroupMember, ...]
    coordinator: str
    coordinator_id: int


def list_groups(client: AdminClient, states: Iterable[str] = ()) -> list[GroupListing]:
    """The groups of every broker, by id in order."""
    found: dict[str, GroupListing] = {}
    for node in client.metadata([])["brokers"]:
        answer = client.broker(node["node_id"]).request(
            ApiKey.LIST_GROUPS, {"states_filter": list(states), "types_filter": []}
        )
        check(answer["error_code"], f"broker {node['node_id']}")
        for row in answer["groups"]:
            found[row["group_id"]] = GroupListing(
                row["group_id"],
                row["protocol_type"],
                row.get("group_state", ""),
                row.get("group_type", "classic"),
            )
    return [found[group_id] for group_id in sorted(found)]


def describe_group(client: AdminClient, group_id: str) -> GroupDescription:
    """State and members of one group, asked of its coordinator."""
    coordinator_id, coordinator = client.find_coordinator(group_id)
    answer = coordinator.request(ApiKey.DESCRIBE_GROUPS, {"groups": [group_id]})
    row = answer["groups"][0]
    if row["error_code"] == ErrorCode.GROUP_ID_NOT_FOUND:
        return GroupDescription(group_id, "Dead", "", "", (), coordinator.address, coordinator_id)
    check(row["error_code"], f"group {group_id}", row.get("error_message"))
    members = tuple(
        GroupMember(
            member["member_id"],
            member.get("group_instance_id"),
            member["client_id"],
            member["client_host"],
            decode_assignment(bytes(member["member_assignment"])),
        )
        for member in row["members"]
    )
    return GroupDescription(
        group_id,
        row["group_state"],
        row["protocol_type"],
        row["protocol_data"],
        members,
        coordinator.address,
        coordinator_id,
    )


def committed_offsets(client: AdminClient, group_id: str) -> list[CommittedOffset]:
    """Every position that the group has committed, by topic and partition."""
    wanted = {"group_id": group_id, "topics": None}
    answer = client.coordinator(group_id).request(
        ApiKey.OFFSET_FETCH,
        {"group_id": group_id, "topics": None, "groups": [wanted], "require_stable": False},
        max_version=OFFSET_API_MAX_VERSION,
    )
    group = answer["groups"][0] if answer.get("groups") else answer
    check(group.get("error_code", 0), f"group {group_id}")
    rows = [
        CommittedOffset(
            topic["name"],
            part["partition_index"],
            part["committed_offset"],
            part.get("metadata") or "",
            part.get("committed_leader_epoch", -1),
        )
        for topic in group["topics"]
        for part in topic["partitions"]
        if part["error_code"] == ErrorCode.NONE and part["committed_offset"] >= 0
    ]
    return sorted(rows, key=lambda row: (row.topic, row.partition))


def commit_offsets(
    client: AdminClient, group_id: str, offsets: Mapping[tuple[str, int], int]
) -> None:
    """Sets the positions of a group without members, as a reset does."""
    topics: dict[str, list[dict[str, object]]] = {}
    for (name, index), offset in offsets.items():
        topics.setdefault(name, []).append(
            {
                "partition_index": index,
                "committed_offset": offset,
                "committed_leader_epoch": -1,
                "committed_metadata": "",
            }
        )
    answer = client.coordinator(group_id).request(
        ApiKey.OFFSET_COMMIT,
        {
            "group_id": group_id,
            "generation_id_or_member_epoch": -1,
            "member_id": "",
            "group_instance_id": None,
            "topics": [{"name": name, "partitions": rows} for name, rows in topics.items()],
        },
        max_version=OFFSET_API_MAX_VERSION,
    )
    for topic in answer["topics"]:
        for part in topic["partitions"]:
            check(part["error_code"], f"{topic['name']}-{part['partition_index']}")


def delete_group(client: AdminClient, group_id: str) -> None:
    answer = client.coordinator(group_id).request(
        ApiKey.DELETE_GROUPS, {"groups_names": [group_id]}
    )
    check(answer["results"][0]["error_code"], f"group {group_id}")


def delete_offsets(
    client: AdminClient, group_id: str, partitions: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], ErrorCode]:
    """Forgets committed positions; what became of each."""
    topics: dict[str, list[dict[str, int]]] = {}
    for name, index in partitions:
        topics.setdefault(name, []).append({"partition_index": index})
    answer = client.coordinator(group_id).request(
        ApiKey.OFFSET_DELETE,
        {
            "group_id": group_id,
            "topics": [{"name": name, "partitions": rows} for name, rows in topics.items()],
        },
    )
    check(answer["error_code"], f"group {group_id}")
    return {
        (topic["name"], part["partition_index"]): ErrorCode(part["error_code"])
        for topic in answer["topics"]
        for part in topic["partitions"]
    }


def decode_assignment(payload: bytes) -> dict[str, list[int]] | None:
    """A consumer's assignment (ConsumerProtocolAssignment v0-3): topic -> partitions.

    None where the bytes are another protocol's (Connect, Streams of an unknown kind).
    """
    try:
        _, topic_count = struct.unpack_from(">hi", payload, 0)
        position, assignment = 6, {}
        for _ in range(topic_count):
            (length,) = struct.unpack_from(">h", payload, position)
            name = payload[position + 2 : position + 2 + length].decode()
            position += 2 + length
            (count,) = struct.unpack_from(">i", payload, position)
            if count < 0 or position + 4 + 4 * count > len(payload):
                return None
            assignment[name] = list(struct.unpack_from(f">{count}i", payload, position + 4))
            position += 4 + 4 * count
    except (struct.error, UnicodeDecodeError):
        return None
    return assignment
