"""kafka-consumer-groups.sh: --list, --describe, --reset-offsets, --delete, --delete-offsets."""

import argparse
import sys
from typing import Any

from ....core.errors import HeadraceError
from .. import group_admin
from ..admin_client import AdminClient, AdminError
from ..groups import lag_rows, parse_topic_partitions, reset_targets, select_partitions
from .options import add_bootstrap, admin, exception_name, make_parser

STATES = ("Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-consumer-groups", "List, describe, delete and reset groups.")
    add_bootstrap(parser)
    actions = parser.add_mutually_exclusive_group(required=True)
    for action in ("list", "describe", "reset-offsets", "delete", "delete-offsets"):
        actions.add_argument(f"--{action}", action="store_true")
    parser.add_argument("--group", action="append", default=[])
    parser.add_argument("--all-groups", action="store_true")
    parser.add_argument("--topic", action="append", default=[])
    parser.add_argument("--all-topics", action="store_true")
    parser.add_argument("--members", action="store_true")
    parser.add_argument("--offsets", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--state", nargs="?", const="")
    parser.add_argument("--timeout", type=int, default=5000)
    parser.add_argument("--to-earliest", action="store_true")
    parser.add_argument("--to-latest", action="store_true")
    parser.add_argument("--to-current", action="store_true")
    parser.add_argument("--to-offset", type=int)
    parser.add_argument("--shift-by", type=int)
    parser.add_argument("--to-datetime", dest="to_time")
    parser.add_argument("--execute", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    return parser


def main(argv: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if not args.list and not args.group and not args.all_groups:
        parser.error("Option needs one of these options: --all-groups, --group")
    action = next(name for name in _ACTIONS if getattr(args, name))
    try:
        with admin(args) as client:
            return _ACTIONS[action](client, args)
    except (AdminError, HeadraceError) as error:
        print(f"\nError: Executing consumer group command failed due to {error}")
        return 1


def _list(client: AdminClient, args: argparse.Namespace) -> int:
    wanted = [word.strip() for word in (args.state or "").split(",") if word.strip()]
    by_lower = {state.lower(): state for state in STATES}
    unknown = [word for word in wanted if word.lower() not in by_lower]
    if unknown:
        raise HeadraceError(f"Invalid state list '{args.state}'. Valid states are: {STATES}")
    groups = group_admin.list_groups(client, [by_lower[word.lower()] for word in wanted])
    if args.state is None:
        for group in groups:
            print(group.group_id)
        return 0
    width = max([15, *(len(group.group_id) for group in groups)])
    print(f"{'GROUP':<{width}} STATE")
    for group in groups:
        print(f"{group.group_id:<{width}} {group.state}")
    return 0


def _selected(client: AdminClient, args: argparse.Namespace) -> list[str]:
    if args.all_groups:
        return [group.group_id for group in group_admin.list_groups(client)]
    return list(args.group)


def _describe(client: AdminClient, args: argparse.Namespace) -> int:
    exit_code = 0
    for group_id in _selected(client, args):
        group = group_admin.describe_group(client, group_id)
        if group.state == "Dead":
            print(f"\nError: Consumer group '{group_id}' does not exist.")
            exit_code = 1
            continue
        if args.state is not None:
            _print_state(group)
        elif args.members:
            _print_members(group, verbose=args.verbose)
        else:
            if group.state == "Empty":
                print(f"\nConsumer group '{group_id}' has no active members.", file=sys.stderr)
            _print_offsets(group, lag_rows(client, group))
    return exit_code


def _print_offsets(group: group_admin.GroupDescription, rows: list[dict[str, Any]]) -> None:
    widths = {
        "group": max(15, len(group.group_id)),
        "topic": max([15, *(len(row["topic"]) for row in rows)]),
        "member": max([15, *(len(row["member_id"] or "-") for row in rows)]),
        "host": max([15, *(len(row["host"] or "-") for row in rows)]),
    }

    def line(cells: list[object]) -> str:
        text = ["-" if cell is None else str(cell) for cell in cells]
        return (
            f"{text[0]:<{widths['group']}} {text[1]:<{widths['topic']}} {text[2]:<10} "
            f"{text[3]:<15} {text[4]:<15} {text[5]:<15} "
            f"{text[6]:<{widths['member']}} {text[7]:<{widths['host']}} {text[8]}"
        )

    print()
    print(
        line(
            [
                *("GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"),
                *("CONSUMER-ID", "HOST", "CLIENT-ID"),
            ]
        )
    )
    columns = (
        *("topic", "partition", "current_offset", "log_end_offset", "lag"),
        *("member_id", "host", "client_id"),
    )
    for row in rows:
        print(line([group.group_id, *(row[name] for name in columns)]))


def _print_members(group: group_admin.GroupDescription, *, verbose: bool) -> None:
    width = max([15, *(len(member.member_id) for member in group.members)])
    header = (
        f"{'GROUP':<15} {'CONSUMER-ID':<{width}} {'HOST':<15} {'CLIENT-ID':<15} {'#PARTITIONS':<15}"
    )
    print(f"\n{header}{' ASSIGNMENT' if verbose else ''}")
    for member in group.members:
        assignment = member.assignment or {}
        total = sum(len(indexes) for indexes in assignment.values())
        text = ", ".join(
            f"{topic}({','.join(map(str, sorted(indexes)))})"
            for topic, indexes in sorted(assignment.items())
        )
        print(
            f"{group.group_id:<15} {member.member_id:<{width}} {member.client_host:<15} "
            f"{member.client_id:<15} {total:<15}{' ' + (text or '-') if verbose else ''}"
        )


def _print_state(group: group_admin.GroupDescription) -> None:
    width = max(25, len(group.coordinator))
    print(
        f"\n{'GROUP':<15} {'COORDINATOR (ID)':<{width}} {'ASSIGNMENT-STRATEGY':<20} "
        f"{'STATE':<20} #MEMBERS"
    )
    print(
        f"{group.group_id:<15} {group.coordinator:<{width}} {group.protocol or '-':<20} "
        f"{group.state:<20} {len(group.members)}"
    )


def _reset(client: AdminClient, args: argparse.Namespace) -> int:
    targets_given = [
        args.to_earliest,
        args.to_latest,
        args.to_current,
        args.to_offset is not None,
        args.shift_by is not None,
        args.to_time is not None,
    ]
    if sum(targets_given) != 1:
        raise HeadraceError(
            "one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by "
            "and --to-datetime is needed"
        )
    if not args.execute:
        print(
            "WARN: No action will be performed as the --execute option is missing. "
            "In a future major release, the default behavior of this command will be to "
            "prompt the user before executing the reset rather than doing a dry run.",
            file=sys.stderr,
        ) if not args.dry_run else None
    print(f"\n{'GROUP':<30} {'TOPIC':<30} {'PARTITION':<10} {'NEW-OFFSET':<15}")
    for group_id in _selected(client, args):
        group = group_admin.describe_group(client, group_id)
        if group.state not in ("Empty", "Dead"):
            raise HeadraceError(
                f"Assignments can only be reset if the group '{group_id}' is inactive, "
                f"but the current state is {group.state}."
            )
        current = group_admin.committed_offsets(client, group_id)
        names = args.topic or sorted({row.topic for row in current})
        if args.to_current:
            args.shift_by = 0
        targets = reset_targets(client, select_partitions(client, names), current, args)
        if args.execute:
            group_admin.commit_offsets(client, group_id, targets)
        for (topic, index), offset in targets.items():
            print(f"{group_id:<30} {topic:<30} {index:<10} {offset:<15}")
    return 0


def _delete(client: AdminClient, args: argparse.Namespace) -> int:
    deleted, failed = [], {}
    for group_id in _selected(client, args):
        try:
            group_admin.delete_group(client, group_id)
            deleted.append(group_id)
        except AdminError as error:
            failed[group_id] = error
    if failed:
        print("\nError: Deletion of some consumer groups failed:")
        for group_id, refusal in failed.items():
            print(
                f"* Group '{group_id}' could not be deleted due to: "
                f"org.apache.kafka.common.errors.{exception_name(refusal.code.name)}: "
                f"{refusal.message}"
            )
    if deleted:
        names = ", ".join(f"'{group_id}'" for group_id in deleted)
        if failed:
            print(f"\nThese consumer groups were deleted successfully: {names}")
        else:
            print(f"Deletion of requested consumer groups ({names}) was successful.")
    return 1 if failed else 0


def _delete_offsets(client: AdminClient, args: argparse.Namespace) -> int:
    (group_id,) = args.group or [""]
    chosen: list[tuple[str, int]] = []
    for text in args.topic:
        name, indexes = parse_topic_partitions(text)
        if indexes is None:
            (topic,) = client.topics([name])
            indexes = [part.index for part in topic.partitions]
        chosen += [(name, index) for index in indexes]
    results = group_admin.delete_offsets(client, group_id, chosen)
    print("Request succeed for deleting offsets with group " + group_id)
    print(f"\n{'TOPIC':<30} {'PARTITION':<15} {'STATUS':<15}")
    for (topic_name, index), error in sorted(results.items()):
        status = "Successful" if error == 0 else f"Error: {error.name}"
        print(f"{topic_name:<30} {index:<15} {status:<15}")
    return 0


_ACTIONS = {
    "list": _list,
    "describe": _describe,
    "reset_offsets": _reset,
    "delete": _delete,
    "delete_offsets": _delete_offsets,
}
