"""`headrace offsets`: the first and the next offset of each partition, or the offset at a time."""

import argparse
import datetime
from typing import Any

from ...core.errors import HeadraceError
from .admin_client import EARLIEST, LATEST, AdminClient
from .common import add_client_arguments, add_command, connect, print_json, print_table

HELP = "first and next offsets of partitions, or offsets at a time"
EXAMPLES = """examples:
  headrace offsets clicks
  headrace offsets clicks --at 2026-11-01T12:00:00+00:00
"""


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "offsets", HELP, EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("names", nargs="*", metavar="TOPIC", help="default: every topic")
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="the first offset at or after a time: milliseconds since 1970, or ISO 8601",
    )
    add_client_arguments(parser)


def parse_time_ms(text: str) -> int:
    """Milliseconds since the epoch: a number as it is, or an ISO 8601 time (UTC without a zone).

    Raises HeadraceError on anything else.
    """
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise HeadraceError(
            f"{text!r} is no time: give milliseconds since 1970 or ISO 8601, "
            f"as in 2026-11-01T12:00:00+00:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return int(moment.timestamp() * 1000)


def run(args: argparse.Namespace) -> int:
    at_ms = None if args.at is None else parse_time_ms(args.at)
    with connect(args) as client:
        rows = offset_rows(client, args.names, at_ms)
    if args.json:
        print_json(rows)
        return 0
    columns = ["topic", "partition", *(["offset"] if at_ms is not None else ["start", "end"])]
    print_table(
        [column.upper() for column in columns], [[row[name] for name in columns] for row in rows]
    )
    return 0


def offset_rows(
    client: AdminClient, names: list[str], at_ms: int | None
) -> list[dict[str, str | int]]:
    """A row a partition: start and end, or the offset at `at_ms` (-1 where there is none)."""
    topics = [topic for topic in client.topics(names or None) if names or not topic.is_internal]
    if at_ms is not None:
        found = client.list_offsets(topics, at_ms)
        return [
            {"topic": name, "partition": index, "offset": offset}
            for (name, index), offset in sorted(found.items())
        ]
    start = client.list_offsets(topics, EARLIEST)
    end = client.list_offsets(topics, LATEST)
    return [
        {"topic": name, "partition": index, "start": start[name, index], "end": offset}
        for (name, index), offset in sorted(end.items())
    ]
