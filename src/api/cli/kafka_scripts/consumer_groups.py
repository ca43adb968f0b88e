"""kafka-consumer-groups.sh: --list, --describe, --reset-offsets, --delete, --delete-offsets.

As Kafka's script it leaves with 0 where a broker refuses: only a wrong use of the flags is 1.
"""

import argparse
import csv
import re
import sys
from pathlib import Path

from ....core.clock import SystemClock
from ....core.errors import HeadraceError
from ...wire.error_codes import ErrorCode
from .. import group_admin
from ..admin_client import AdminClient, AdminError
from ..groups import lag_rows, parse_topic_partitions, reset_targets, select_partitions
from . import group_tables
from .options import KafkaParser, add_bootstrap, admin, exception_name, make_parser

STATES = ("Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead")
TYPES = ("Classic", "Consumer")
_SCENARIOS = (
    *("to_earliest", "to_latest", "to_current", "to_offset", "shift_by"),
    *("to_time", "by_duration", "from_file"),
)
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def _parser() -> KafkaParser:
    parser = make_parser("kafka-consumer-groups", "List, describe, delete and reset groups.")
    add_bootstrap(parser, required=False)
    actions = parser.add_mutually_exclusive_group(required=True)
    for action in ("list", "describe", "reset-offsets", "delete", "delete-offsets"):
        actions.add_argument(f"--{action}", action="store_true")
    actions.add_argument("--validate-regex", metavar="REGEX")
    parser.add_argument("--group", action="append", default=[])
    parser.add_argument("--all-groups", action="store_true")
    parser.add_argument("--topic", action="append", default=[])
    parser.add_argument("--all-topics", action="store_true")
    parser.add_argument("--members", action="store_true")
    parser.add_argument("--offsets", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--state", nargs="?", const="")
    parser.add_argument("--type", nargs="?", const="")
    parser.add_argument("--timeout", type=int, default=5000)
    parser.add_argument("--to-earliest", action="store_true")
    parser.add_argument("--to-latest", action="store_true")
    parser.add_argument("--to-current", action="store_true")
    parser.add_argument("--to-offset", type=int)
    parser.add_argument("--shift-by", type=int)
    parser.add_argument("--to-datetime", dest="to_time", metavar="YYYY-MM-DDTHH:mm:SS.sss")
    parser.add_argument("--by-duration", metavar="PnDTnHnMnS")
    parser.add_argument("--from-file", type=Path, metavar="CSV")
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--execute", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    return parser


def main(argv: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.validate_regex is not None:
        return _validate_regex(args.validate_regex)
    _check_options(parser, args)
    action = next(name for name in _ACTIONS if getattr(args, name))
    try:
        with admin(args) as client:
            _ACTIONS[action](client, args)
    except AdminError as error:
        exception = f"org.apache.kafka.common.errors.{exception_name(error.code.name)}"
        _print_error(f"Executing consumer group command failed due to {exception}: {error.message}")
    except HeadraceError as error:
        _print_error(f"Executing consumer group command failed due to {error}")
    return 0


def _check_options(parser: KafkaParser, args: argparse.Namespace) -> None:
    if args.bootstrap_server is None:
        parser.error('Missing required argument "[bootstrap-server]"')
    if not args.list and not args.group and not args.all_groups:
        parser.error("Option needs one of these options: --all-groups, --group")
    if args.reset_offsets:
        given = [name for name in _SCENARIOS if getattr(args, name) not in (None, False)]
        if not args.topic and not args.all_topics and args.from_file is None:
            parser.error("One of the reset scopes should be defined: --all-topics, --topic.")
        if len(given) != 1:
            parser.error(
                "Option '[reset-offsets]' requires one of the following scenarios: to-earliest, "
                "to-latest, to-current, to-offset, shift-by, to-datetime, by-duration, from-file"
            )
    if args.delete_offsets and not args.topic:
        parser.error("Option '[delete-offsets]' takes the option: --topic")


def _print_error(text: str) -> None:
    print(f"\nError: {text}")


def _validate_regex(pattern: str) -> int:
    try:
        re.compile(pattern)
    except re.error as error:
        print(f"The regular expression `{pattern}` is invalid: {error}.")
    else:
        print(f"The regular expression `{pattern}` is valid.")
    return 0


def _list(client: AdminClient, args: argparse.Namespace) -> None:
    states = _filter_words("state", args.state, STATES)
    types = _filter_words("type", args.type, TYPES)
    groups = [
        group
        for group in group_admin.list_groups(client, states)
        if not types or group.group_type.capitalize() in types
    ]
    group_tables.print_listing(
        groups, with_type=args.type is not None, with_state=args.state is not None
    )


def _filter_words(option: str, text: str | None, known: tuple[str, ...]) -> list[str]:
    by_lower = {word.lower(): word for word in known}
    wanted = [word.strip() for word in (text or "").split(",") if word.strip()]
    if any(word.lower() not in by_lower for word in wanted):
        print(
            f"Invalid {option} list '{text}'. Valid {option}s are: {', '.join(known)}",
            file=sys.stderr,
        )
        sys.exit(1)
    return [by_lower[word.lower()] for word in wanted]


def _selected(client: AdminClient, args: argparse.Namespace) -> list[str]:
    if args.all_groups:
        return [group.group_id for group in group_admin.list_groups(client)]
    return list(dict.fromkeys(args.group))


def _describe(client: AdminClient, args: argparse.Namespace) -> None:
    for group_id in _selected(client, args):
        group = group_admin.describe_group(client, group_id)
        if group.state == "Dead":
            raise AdminError(
                ErrorCode.GROUP_ID_NOT_FOUND, f"group {group_id}", f"Group {group_id} not found."
            )
        if group.state == "Empty":
            print(f"\nConsumer group '{group_id}' has no active members.", file=sys.stderr)
        elif group.state != "Stable":
            print(f"\nWarning: Consumer group '{group_id}' is rebalancing.", file=sys.stderr)
        if args.state is not None:
            group_tables.print_state(group, verbose=args.verbose)
        elif args.members:
            group_tables.print_members(group, verbose=args.verbose)
        else:
            rows = lag_rows(client, group)
            group_tables.print_positions(group, rows, verbose=args.verbose)


def _reset(client: AdminClient, args: argparse.Namespace) -> None:
    if not args.execute and not args.dry_run:
        print(
            "WARN: No action will be performed as the --execute option is missing; "
            "--dry-run says that this is meant.",
            file=sys.stderr,
        )
    rows: list[tuple[str, str, int, int]] = []
    for group_id in _selected(client, args):
        state = group_admin.describe_group(client, group_id).state
        if state not in ("Empty", "Dead"):
            _print_error(
                f"Assignments can only be reset if the group '{group_id}' is inactive, "
                f"but the current state is {state}."
            )
            continue
        targets = _targets(client, group_id, args)
        if args.execute:
            group_admin.commit_offsets(client, group_id, targets)
        rows += [(group_id, topic, index, offset) for (topic, index), offset in targets.items()]
    if args.export:
        is_single = len(args.group) == 1
        for row in rows:
            print(",".join(map(str, row[1:] if is_single else row)))
        print()
    else:
        group_tables.print_new_offsets(rows)


def _targets(
    client: AdminClient, group_id: str, args: argparse.Namespace
) -> dict[tuple[str, int], int]:
    """The new position of each partition that the flags or the file name."""
    if args.from_file is not None:
        return read_positions(args.from_file, group_id)
    current = group_admin.committed_offsets(client, group_id)
    chosen = select_partitions(client, args.topic or sorted({row.topic for row in current}))
    if args.to_current:
        args.shift_by = 0
    if args.by_duration is not None:
        args.to_time = str(SystemClock().now_ms() - parse_duration_ms(args.by_duration))
    return reset_targets(client, chosen, current, args)


def parse_duration_ms(text: str) -> int:
    """ISO 8601's `PnDTnHnMnS` in milliseconds; raises HeadraceError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise HeadraceError(f"{text!r} is no duration: write PnDTnHnMnS, as in PT1H30M")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return int((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)


def read_positions(path: Path, group_id: str) -> dict[tuple[str, int], int]:
    """The positions of one group in a file that `--export` wrote.

    Rows are `topic,partition,offset`, or with the group in front where there are several.
    """
    positions = {}
    try:
        with path.open(newline="") as file:
            for row in csv.reader(file):
                if not row or (len(row) == 4 and row[0] != group_id):
                    continue
                topic, partition, offset = row[-3:]
                positions[topic, int(partition)] = int(offset)
    except OSError as error:
        raise HeadraceError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise HeadraceError(f"{path}: every row must be topic,partition,offset") from None
    return positions


def _delete(client: AdminClient, args: argparse.Namespace) -> None:
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
            print(f"* Group '{group_id}' could not be deleted due to: {_java_words(refusal.code)}")
    names = ", ".join(f"'{group_id}'" for group_id in deleted)
    if deleted and failed:
        print(f"\nThese consumer groups were deleted successfully: {names}")
    elif deleted:
        print(f"Deletion of requested consumer groups ({names}) was successful.")


def _java_words(code: ErrorCode) -> str:
    return f"org.apache.kafka.common.errors.{exception_name(code.name)}: {code.message}"


def _delete_offsets(client: AdminClient, args: argparse.Namespace) -> None:
    group_id = args.group[0] if args.group else ""
    chosen: list[tuple[str, int]] = []
    for text in args.topic:
        name, indexes = parse_topic_partitions(text)
        if indexes is None:
            (topic,) = client.topics([name])
            indexes = [part.index for part in topic.partitions]
        chosen += [(name, index) for index in indexes]
    results = group_admin.delete_offsets(client, group_id, chosen)
    if any(results.values()):
        _print_error("Encountered some partition-level error, see the follow-up details.")
    else:
        print(f"Request succeeded for deleting offsets from group {group_id}.")
    group_tables.print_outcomes(
        [
            (topic, index, f"Error: {_java_words(code)}" if code else "Successful")
            for (topic, index), code in sorted(results.items())
        ]
    )


_ACTIONS = {
    "list": _list,
    "describe": _describe,
    "reset_offsets": _reset,
    "delete": _delete,
    "delete_offsets": _delete_offsets,
}
