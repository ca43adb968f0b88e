"""`headrace configs`: read and change the settings of topics and brokers."""

import argparse
from typing import Any

from ...core.errors import HeadraceError
from .admin_client import BROKER_RESOURCE, TOPIC_RESOURCE, AdminClient, ConfigEntry
from .common import (
    add_client_arguments,
    add_command,
    connect,
    parse_name_values,
    print_json,
    print_table,
)

HELP = "read and change the settings of topics and brokers"
EXAMPLES = """examples:
  headrace configs describe --topic clicks
  headrace configs describe --broker 0 --all
  headrace configs set --topic clicks retention.ms=86400000
  headrace configs unset --topic clicks retention.ms
"""
SOURCES = {
    1: "topic",
    2: "dynamic broker",
    3: "dynamic default broker",
    4: "server.properties",
    5: "default",
    6: "dynamic broker logger",
}


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "configs", HELP, EXAMPLES)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    describe = verbs.add_parser("describe", help="show settings")
    describe.add_argument("--all", action="store_true", help="defaults too")
    change = verbs.add_parser("set", help="set settings")
    change.add_argument("settings", nargs="+", metavar="NAME=VALUE")
    unset = verbs.add_parser("unset", help="go back to the broker's defaults")
    unset.add_argument("settings", nargs="+", metavar="NAME")
    for verb in (describe, change, unset):
        whose = verb.add_mutually_exclusive_group(required=True)
        whose.add_argument("--topic", metavar="TOPIC")
        whose.add_argument("--broker", metavar="ID", help="a broker id, or 'default' for all")
        add_client_arguments(verb)


def resource_of(args: argparse.Namespace) -> tuple[int, str]:
    """(resource type, name) that the options name."""
    if args.topic is not None:
        return TOPIC_RESOURCE, args.topic
    if args.broker != "default" and not args.broker.isdigit():
        raise HeadraceError(f"--broker {args.broker}: must be a broker id or 'default'")
    return BROKER_RESOURCE, "" if args.broker == "default" else args.broker


def run(args: argparse.Namespace) -> int:
    resource_type, name = resource_of(args)
    with connect(args) as client:
        if args.verb == "describe":
            return _describe(client, resource_type, name, args)
        if args.verb == "set":
            sets = parse_name_values("NAME=VALUE", args.settings)
            client.alter_configs(resource_type, name, sets=sets)
        else:
            client.alter_configs(resource_type, name, sets={}, deletes=args.settings)
    if args.json:
        print_json({"changed": args.settings})
    else:
        print(f"Changed {', '.join(args.settings)}.")
    return 0


def _describe(client: AdminClient, resource_type: int, name: str, args: argparse.Namespace) -> int:
    default_sources = {4, 5}
    shown: list[ConfigEntry] = [
        entry
        for entry in client.configs(resource_type, name)
        if args.all or entry.source not in default_sources
    ]
    if args.json:
        print_json(
            [
                {
                    "name": entry.name,
                    "value": entry.value,
                    "source": SOURCES.get(entry.source, str(entry.source)),
                    "read_only": entry.is_read_only,
                }
                for entry in shown
            ]
        )
        return 0
    print_table(
        ("NAME", "VALUE", "SOURCE"),
        [
            (entry.name, entry.value, SOURCES.get(entry.source, str(entry.source)))
            for entry in shown
        ],
    )
    if not shown:
        print("(nothing differs from the defaults; --all shows those)")
    return 0
