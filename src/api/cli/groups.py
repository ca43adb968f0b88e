"""`headrace groups`: list, describe, reset and delete consumer groups."""

import argparse
from typing import Any

from ...core.errors import HeadraceError
from . import group_admin
from .admin_client import EARLIEST, LATEST, AdminClient, CommittedOffset, TopicInfo
from .common import add_client_arguments, add_command, connect, print_json, print_table
from .offsets import parse_time_ms

HELP = "list, describe, reset and delete consumer groups"
EXAMPLES = """examples:
  headrace groups list
  headrace groups describe report
  headrace groups reset report --topic clicks --to-earliest --execute
  headrace groups delete report
"""


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "groups", HELP, EXAMPLES)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="list groups")
    listing.add_argument("--state", action="append", default=[], help="only groups in this state")
    describe = verbs.add_parser("describe", help="members, positions and lag of a group")
    describe.add_argument("group", metavar="GROUP")
    reset = verbs.add_parser("reset", help="move the positions of a group without members")
    reset.add_argument("group", metavar="GROUP")
    reset.add_argument(
        "--topic",
        action="append",
        required=True,
        metavar="TOPIC[:P,P]",
        help="a topic, or some of its partitions",
    )
    target = reset.add_mutually_exclusive_group(required=True)
    target.add_argument("--to-earliest", action="store_true")
    target.add_argument("--to-latest", action="store_true")
    target.add_argument("--to-offset", type=int, metavar="N")
    target.add_argument("--shift-by", type=int, metavar="N")
    target.add_argument("--to-time", metavar="TIME", help="milliseconds since 1970, or ISO 8601")
    reset.add_argument("--execute", action="store_true", help="do it; without, only show it")
    delete = verbs.add_parser("delete", help="delete groups and their positions")
    delete.add_argument("groups", nargs="+", metavar="GROUP")
    for verb in (listing, describe, reset, delete):
        add_client_arguments(verb)


def run(args: argparse.Namespace) -> int:
    with connect(args) as client:
        return int(_VERBS[args.verb](client, args))


def _list(client: AdminClient, args: argparse.Namespace) -> int:
    groups = group_admin.list_groups(client, args.state)
    if args.json:
        print_json(
            [
                {"group": row.group_id, "state": row.state, "protocol_type": row.protocol_type}
                for row in groups
            ]
        )
        return 0
    print_table(
        ("GROUP", "STATE", "PROTOCOL"),
        [(row.group_id, row.state, row.protocol_type or None) for row in groups],
    )
    return 0


def lag_rows(client: AdminClient, group: group_admin.GroupDescription) -> list[dict[str, Any]]:
    """A row a partition that the group has committed or is assigned, with lag and its owner."""
    committed = {
        (row.topic, row.partition): row
        for row in group_admin.committed_offsets(client, group.group_id)
    }
    owners = {
        (topic, index): member
        for member in group.members
        for topic, indexes in (member.assignment or {}).items()
        for index in indexes
    }
    known = {topic.name: topic for topic in client.topics()}
    wanted = {name for name, _ in [*committed, *owners] if name in known}
    ends = client.list_offsets([known[name] for name in sorted(wanted)], LATEST)
    rows = []
    for topic, index in sorted({*committed, *owners}):
        position, end = committed.get((topic, index)), ends.get((topic, index))
        offset = position.offset if position else None
        owner = owners.get((topic, index))
        rows.append(
            {
                "topic": topic,
                "partition": index,
                "current_offset": offset,
                "log_end_offset": end,
                "leader_epoch": position.leader_epoch
                if position and position.leader_epoch >= 0
                else None,
                "lag": None if offset is None or end is None else end - offset,
                "member_id": owner.member_id if owner else None,
                "host": owner.client_host if owner else None,
                "client_id": owner.client_id if owner else None,
            }
        )
    return rows


def _describe(client: AdminClient, args: argparse.Namespace) -> int:
    group = group_admin.describe_group(client, args.group)
    if group.state == "Dead":
        raise HeadraceError(f"group {args.group} does not exist; `headrace groups list` shows all")
    rows = lag_rows(client, group)
    if args.json:
        print_json(
            {
                "group": group.group_id,
                "state": group.state,
                "protocol": group.protocol,
                "coordinator": group.coordinator,
                "members": len(group.members),
                "partitions": rows,
            }
        )
        return 0
    print(
        f"{group.group_id}  {group.state}  {len(group.members)} members  "
        f"{group.protocol}  coordinator {group.coordinator}"
    )
    columns = ("topic", "partition", "current_offset", "log_end_offset", "lag", "client_id")
    print_table(
        [column.replace("_", "-").upper() for column in columns],
        [[row[column] for column in columns] for row in rows],
    )
    return 0


def parse_topic_partitions(text: str) -> tuple[str, list[int] | None]:
    """`clicks` -> (clicks, None); `clicks:0,2` -> (clicks, [0, 2])."""
    name, colon, indexes = text.partition(":")
    if not colon:
        return name, None
    parts = indexes.split(",")
    if not name or not all(part.isdigit() for part in parts):
        raise HeadraceError(f"{text!r} must be TOPIC or TOPIC:PARTITION,PARTITION")
    return name, [int(part) for part in parts]


def select_partitions(client: AdminClient, texts: list[str]) -> list[tuple[TopicInfo, set[int]]]:
    """The topics and partitions that `--topic` options name; raises for one that is not there."""
    chosen = []
    for text in texts:
        name, indexes = parse_topic_partitions(text)
        (topic,) = client.topics([name])
        existing = {part.index for part in topic.partitions}
        missing = set(indexes or ()) - existing
        if missing:
            raise HeadraceError(f"topic {name} has no partition {sorted(missing)[0]}")
        chosen.append((topic, existing if indexes is None else set(indexes)))
    return chosen


def reset_targets(
    client: AdminClient,
    chosen: list[tuple[TopicInfo, set[int]]],
    current: list[CommittedOffset],
    args: argparse.Namespace,
) -> dict[tuple[str, int], int]:
    """The new position of each chosen partition, held within what its log has."""
    topics = [topic for topic, _ in chosen]
    start = client.list_offsets(topics, EARLIEST)
    end = client.list_offsets(topics, LATEST)
    committed = {(row.topic, row.partition): row.offset for row in current}
    at_time: dict[tuple[str, int], int] = {}
    if args.to_time is not None:
        at_time = client.list_offsets(topics, parse_time_ms(args.to_time))
    targets = {}
    for topic, indexes in chosen:
        for index in sorted(indexes):
            key = (topic.name, index)
            if args.to_earliest:
                target = start[key]
            elif args.to_latest:
                target = end[key]
            elif args.to_offset is not None:
                target = args.to_offset
            elif args.shift_by is not None:
                if key not in committed:
                    raise HeadraceError(f"{topic.name}-{index} has no position to shift")
                target = committed[key] + args.shift_by
            else:
                target = at_time[key] if at_time.get(key, -1) >= 0 else end[key]
            targets[key] = max(start[key], min(target, end[key]))
    return targets


def _reset(client: AdminClient, args: argparse.Namespace) -> int:
    group = group_admin.describe_group(client, args.group)
    if group.state not in ("Empty", "Dead"):
        raise HeadraceError(
            f"group {args.group} is {group.state}: stop its consumers before a reset"
        )
    current = group_admin.committed_offsets(client, args.group)
    targets = reset_targets(client, select_partitions(client, args.topic), current, args)
    if args.execute:
        group_admin.commit_offsets(client, args.group, targets)
    if args.json:
        rows = [
            {"topic": name, "partition": index, "new_offset": offset}
            for (name, index), offset in targets.items()
        ]
        print_json({"executed": args.execute, "partitions": rows})
        return 0
    print_table(
        ("TOPIC", "PARTITION", "NEW-OFFSET"),
        [(name, index, offset) for (name, index), offset in targets.items()],
    )
    if not args.execute:
        print("Nothing was changed; --execute does it.")
    return 0


def _delete(client: AdminClient, args: argparse.Namespace) -> int:
    for group in args.groups:
        group_admin.delete_group(client, group)
    if args.json:
        print_json({"deleted": args.groups})
    else:
        for group in args.groups:
            print(f"Deleted group {group}.")
    return 0


_VERBS = {"list": _list, "describe": _describe, "reset": _reset, "delete": _delete}
