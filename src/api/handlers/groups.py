"""The classic consumer group protocol: eight keys that only translate for the group coordinator.

JoinGroup (11) 0-9, SyncGroup (14) 0-5, Heartbeat (12) 0-4, LeaveGroup (13) 0-5,
DescribeGroups (15) 0-6, ListGroups (16) 0-5, DeleteGroups (42) 0-2.

Behaviour: JoinGroup and SyncGroup are answered when the group is ready, all others at once.
    An unknown group is described as "Dead" without an error before DescribeGroups 6, by
    GROUP_ID_NOT_FOUND from it on.
Versions: JoinGroup 4 MEMBER_ID_REQUIRED (KIP-394), 5 static members (KIP-345), 7 protocol type
    (KIP-559), 9 skip assignment (KIP-814);
    LeaveGroup 3 many members; DescribeGroups 3 operations (KIP-430), 6 messages (KIP-1043);
    ListGroups 4 states (KIP-518), 5 types (KIP-848).
Not done: groups of KIP-848.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..coordinator.errors import GroupError, GroupIdNotFoundError, MemberIdRequiredError
from ..coordinator.group import Group, JoinResult, SyncResult
from ..coordinator.group_state import GroupState
from ..coordinator.membership import JoinRequest, SyncRequest
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]
Answer = Body | Awaitable[Body]
Result = TypeVar("Result")

CLASSIC_TYPE = "classic"
DEAD_STATE = "Dead"
NOT_ASKED_OPERATIONS = -(2**31)
# Bits are Kafka's AclOperation numbers: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
ALL_GROUP_OPERATIONS = sum(1 << bit for bit in (3, 6, 8, 10, 11))

JOIN_KNOWN_MEMBER_VERSION = 4
JOIN_NULL_PROTOCOL_VERSION = 7
JOIN_SKIP_ASSIGNMENT_VERSION = 9
LEAVE_MANY_MEMBERS_VERSION = 3
DESCRIBE_UNKNOWN_VERSION = 6


# -- membership -----------------------------------------------------------------------------


def handle_join_group(broker: "Broker", context: RequestContext, request: Body) -> Answer:
    """JoinGroup (API key 11), versions 0-9; waits for the rebalance it starts."""
    session_timeout_ms = request["session_timeout_ms"]
    rebalance_timeout_ms = request.get("rebalance_timeout_ms", -1)
    instance_id = request.get("group_instance_id")
    join = JoinRequest(
        member_id=request["member_id"],
        group_instance_id=instance_id,
        client_id=context.client_id or "",
        client_host=f"/{context.client_host}",
        protocol_type=request["protocol_type"],
        protocols=tuple((p["name"], bytes(p["metadata"])) for p in request["protocols"]),
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=session_timeout_ms
        if rebalance_timeout_ms < 0
        else rebalance_timeout_ms,
        requires_known_member_id=(
            context.api_version >= JOIN_KNOWN_MEMBER_VERSION and instance_id is None
        ),
        supports_skipping_assignment=context.api_version >= JOIN_SKIP_ASSIGNMENT_VERSION,
    )

    def body_of(result: JoinResult | GroupError) -> Body:
        return _join_body(context.api_version, request["member_id"], result)

    return _answer_when_done(
        lambda on_done: broker.groups.join_group(request["group_id"], join, on_done), body_of
    )


def _join_body(api_version: int, member_id: str, result: JoinResult | GroupError) -> Body:
    no_protocol = None if api_version >= JOIN_NULL_PROTOCOL_VERSION else ""
    if isinstance(result, GroupError):
        if isinstance(result, MemberIdRequiredError):
            member_id = result.member_id
        return {
            "error_code": error_code_of(result),
            "generation_id": -1,
            "protocol_name": no_protocol,
            "leader": "",
            "member_id": member_id,
            "members": [],
        }
    return {
        "error_code": ErrorCode.NONE,
        "generation_id": result.generation_id,
        "protocol_type": result.protocol_type,
        "protocol_name": no_protocol if result.protocol_name is None else result.protocol_name,
        "leader": result.leader_id,
        "skip_assignment": result.skip_assignment,
        "member_id": result.member_id,
        "members": [
            {"member_id": member_id, "group_instance_id": instance_id, "metadata": metadata}
            for member_id, instance_id, metadata in result.members
        ],
    }


def handle_sync_group(broker: "Broker", _context: RequestContext, request: Body) -> Answer:
    """SyncGroup (API key 14), versions 0-5; waits for the leader's assignment."""
    sync = SyncRequest(
        member_id=request["member_id"],
        group_instance_id=request.get("group_instance_id"),
        generation_id=request["generation_id"],
        protocol_type=request.get("protocol_type"),
        protocol_name=request.get("protocol_name"),
        assignment={a["member_id"]: bytes(a["assignment"]) for a in request["assignments"]},
    )
    return _answer_when_done(
        lambda on_done: broker.groups.sync_group(request["group_id"], sync, on_done), _sync_body
    )


def _sync_body(result: SyncResult | GroupError) -> Body:
    if isinstance(result, GroupError):
        return {"error_code": error_code_of(result), "assignment": b""}
    return {
        "error_code": ErrorCode.NONE,
        "protocol_type": result.protocol_type,
        "protocol_name": result.protocol_name,
        "assignment": result.assignment,
    }


def handle_heartbeat(broker: "Broker", _context: RequestContext, request: Body) -> Body:
    """Heartbeat (API key 12), versions 0-4."""
    try:
        broker.groups.heartbeat(
            request["group_id"],
            member_id=request["member_id"],
            group_instance_id=request.get("group_instance_id"),
            generation_id=request["generation_id"],
        )
    except GroupError as error:
        return {"error_code": error_code_of(error)}
    return {"error_code": ErrorCode.NONE}


def handle_leave_group(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """LeaveGroup (API key 13), versions 0-5."""
    is_batch = context.api_version >= LEAVE_MANY_MEMBERS_VERSION
    members = request["members"] if is_batch else [{"member_id": request["member_id"]}]
    leaving = [(member["member_id"], member.get("group_instance_id")) for member in members]
    try:
        results = broker.groups.leave_group(request["group_id"], leaving)
    except GroupError as error:
        return {"error_code": error_code_of(error), "members": []}
    codes = [ErrorCode.NONE if error is None else error_code_of(error) for error in results]
    if not is_batch:
        return {"error_code": codes[0]}
    return {
        "error_code": ErrorCode.NONE,
        "members": [
            {"member_id": member_id, "group_instance_id": instance_id, "error_code": code}
            for (member_id, instance_id), code in zip(leaving, codes, strict=True)
        ],
    }


# -- administration -------------------------------------------------------------------------


def handle_describe_groups(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """DescribeGroups (API key 15), versions 0-6."""
    groups = [_describe(broker, context.api_version, group_id) for group_id in request["groups"]]
    if request.get("include_authorized_operations"):
        for group in groups:
            if group["error_code"] == ErrorCode.NONE:
                group["authorized_operations"] = ALL_GROUP_OPERATIONS
    return {"groups": groups}


def _describe(broker: "Broker", api_version: int, group_id: str) -> Body:
    try:
        group = broker.groups.describe_group(group_id)
    except GroupError as error:
        is_unknown = isinstance(error, GroupIdNotFoundError)
        is_hidden = is_unknown and api_version < DESCRIBE_UNKNOWN_VERSION
        return {
            "error_code": ErrorCode.NONE if is_hidden else error_code_of(error),
            "error_message": None if is_hidden else str(error),
            "group_id": group_id,
            "group_state": DEAD_STATE if is_unknown else "",
            "protocol_type": "",
            "protocol_data": "",
            "members": [],
        }
    is_stable = group.state is GroupState.STABLE
    return {
        "error_code": ErrorCode.NONE,
        "group_id": group_id,
        "group_state": str(group.state),
        "protocol_type": group.protocol_type or "",
        "protocol_data": (group.protocol_name or "") if is_stable else "",
        "members": _describe_members(group, is_stable),
    }


def _describe_members(group: Group, is_stable: bool) -> list[Body]:
    """The members; metadata and assignment belong to a chosen protocol, so to Stable alone."""
    return [
        {
            "member_id": member.member_id,
            "group_instance_id": member.group_instance_id,
            "client_id": member.client_id,
            "client_host": member.client_host,
            "member_metadata": member.metadata_for(group.protocol_name) if is_stable else b"",
            "member_assignment": member.assignment if is_stable else b"",
        }
        for member in group.members.values()
    ]


def handle_list_groups(broker: "Broker", _context: RequestContext, request: Body) -> Body:
    """ListGroups (API key 16), versions 0-5; filters are read without regard to case."""
    states = {state.lower() for state in request.get("states_filter") or ()}
    types = {group_type.lower() for group_type in request.get("types_filter") or ()}
    is_loading = broker.groups.is_loading
    groups = [] if types and CLASSIC_TYPE not in types else broker.groups.groups()
    return {
        "error_code": ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if is_loading else ErrorCode.NONE,
        "groups": [
            {
                "group_id": group.group_id,
                "protocol_type": group.protocol_type or "",
                "group_state": str(group.state),
                "group_type": CLASSIC_TYPE,
            }
            for group in groups
            if not states or group.state.lower() in states
        ],
    }


def handle_delete_groups(broker: "Broker", _context: RequestContext, request: Body) -> Body:
    """DeleteGroups (API key 42), versions 0-2."""
    results = []
    for group_id in request["groups_names"]:
        error_code = ErrorCode.NONE
        try:
            broker.groups.delete_group(group_id)
        except GroupError as error:
            error_code = error_code_of(error)
        results.append({"group_id": group_id, "error_code": error_code})
    return {"results": results}


def _answer_when_done(
    start: Callable[[Callable[[Result | GroupError], None]], None],
    body_of: Callable[[Result | GroupError], Body],
) -> Answer:
    """The body at once if `start` answers at once, else a future of it."""
    future: asyncio.Future[Body] = asyncio.get_running_loop().create_future()

    def on_done(result: Result | GroupError) -> None:
        if not future.done():  # cancelled when its connection closed
            future.set_result(body_of(result))

    try:
        start(on_done)
    except GroupError as error:
        return body_of(error)
    return future.result() if future.done() else future
