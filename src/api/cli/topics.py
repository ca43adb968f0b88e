"""`headrace topics`: create, list, describe, alter, delete."""

import argparse
from typing import Any

from ...core.errors import HeadraceError
from . import cluster_admin
from .admin_client import TOPIC_RESOURCE, AdminClient, TopicInfo
from .common import (
    add_client_arguments,
    add_command,
    connect,
    parse_name_values,
    print_json,
    print_table,
)

HELP = "create, list, describe, alter and delete topics"
EXAMPLES = """examples:
  headrace topics create clicks --partitions 3
  headrace topics create users --config cleanup.policy=compact
  headrace topics describe clicks --json
  headrace topics alter clicks --partitions 6
"""
TOPIC_SOURCE = 1


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "topics", HELP, EXAMPLES)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    create = verbs.add_parser("create", help="create topics")
    create.add_argument("names", nargs="+", metavar="TOPIC")
    create.add_argument("--partitions", type=int, default=-1, metavar="N")
    create.add_argument("--replication-factor", type=int, default=-1, metavar="N")
    create.add_argument("--config", action="append", default=[], metavar="NAME=VALUE")
    create.add_argument("--if-not-exists", action="store_true")
    create.add_argument("--validate-only", action="store_true", help="check, create nothing")
    listing = verbs.add_parser("list", help="list topics")
    listing.add_argument("--internal", action="store_true", help="with Kafka's own topics")
    describe = verbs.add_parser("describe", help="partitions, leaders and settings of topics")
    describe.add_argument("names", nargs="*", metavar="TOPIC")
    alter = verbs.add_parser("alter", help="add partitions, change settings")
    alter.add_argument("names", nargs=1, metavar="TOPIC")
    alter.add_argument("--partitions", type=int, metavar="N", help="the new total")
    alter.add_argument("--config", action="append", default=[], metavar="NAME=VALUE")
    alter.add_argument("--delete-config", action="append", default=[], metavar="NAME")
    delete = verbs.add_parser("delete", help="delete topics and all their records")
    delete.add_argument("names", nargs="+", metavar="TOPIC")
    delete.add_argument("--if-exists", action="store_true")
    for verb in (create, listing, describe, alter, delete):
        add_client_arguments(verb)


def run(args: argparse.Namespace) -> int:
    with connect(args) as client:
        return int(_VERBS[args.verb](client, args))


def _create(client: AdminClient, args: argparse.Namespace) -> int:
    configs = parse_name_values("--config", args.config)
    existing = set()
    if args.if_not_exists:
        existing = {topic.name for topic in client.topics()}
    created = [name for name in args.names if name not in existing]
    for name in created:
        client.create_topic(
            name,
            partitions=args.partitions,
            replication_factor=args.replication_factor,
            configs=configs,
            validate_only=args.validate_only,
        )
    if args.json:
        print_json({"created": [] if args.validate_only else created})
    else:
        for name in created:
            print(f"{'Valid' if args.validate_only else 'Created'} topic {name}.")
    return 0


def _list(client: AdminClient, args: argparse.Namespace) -> int:
    names = [topic.name for topic in client.topics() if args.internal or not topic.is_internal]
    if args.json:
        print_json(names)
    else:
        print("\n".join(names)) if names else None
    return 0


def topic_overrides(client: AdminClient, name: str) -> dict[str, str | None]:
    """The settings of a topic that differ from the broker's, by name."""
    return {
        entry.name: entry.value
        for entry in client.configs(TOPIC_RESOURCE, name)
        if entry.source == TOPIC_SOURCE
    }


def topic_as_json(topic: TopicInfo, configs: dict[str, str | None]) -> dict[str, Any]:
    """One topic as `describe --json` prints it."""
    return {
        "name": topic.name,
        "topic_id": topic.topic_id_text,
        "is_internal": topic.is_internal,
        "replication_factor": topic.replication_factor,
        "configs": configs,
        "partitions": [
            {
                "partition": part.index,
                "leader": part.leader,
                "leader_epoch": part.leader_epoch,
                "replicas": part.replicas,
                "isr": part.isr,
                "eligible_leader_replicas": part.elr or (),
                "offline_replicas": part.offline_replicas,
                "adding_replicas": part.adding,
                "removing_replicas": part.removing,
            }
            for part in topic.partitions
        ],
    }


def _describe(client: AdminClient, args: argparse.Namespace) -> int:
    found = client.topics(args.names or None)
    found = cluster_admin.with_elr(client, found)
    topics = cluster_admin.with_moves(found, cluster_admin.reassignments(client))
    described = [(topic, topic_overrides(client, topic.name)) for topic in topics]
    if args.json:
        print_json([topic_as_json(topic, configs) for topic, configs in described])
        return 0
    for number, (topic, configs) in enumerate(described):
        if number:
            print()
        settings = " ".join(f"{name}={value}" for name, value in configs.items())
        print(
            f"{topic.name}  id {topic.topic_id_text}  {len(topic.partitions)} partitions  "
            f"replication factor {topic.replication_factor}  {settings}".rstrip()
        )
        has_offline = any(part.offline_replicas for part in topic.partitions)
        has_elr = any(part.elr for part in topic.partitions)
        moves = any(part.adding or part.removing for part in topic.partitions)
        print_table(
            ("PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR")
            + ("ELR",) * has_elr
            + ("OFFLINE",) * has_offline
            + ("ADDING", "REMOVING") * moves,
            [
                (part.index, part.leader, part.leader_epoch, part.replicas, part.isr)
                + (part.elr,) * has_elr
                + (part.offline_replicas,) * has_offline
                + (part.adding, part.removing) * moves
                for part in topic.partitions
            ],
        )
    return 0


def _alter(client: AdminClient, args: argparse.Namespace) -> int:
    name = args.names[0]
    sets = parse_name_values("--config", args.config)
    if args.partitions is None and not sets and not args.delete_config:
        raise HeadraceError("nothing to alter: give --partitions, --config or --delete-config")
    if sets or args.delete_config:
        client.alter_configs(TOPIC_RESOURCE, name, sets=sets, deletes=args.delete_config)
    if args.partitions is not None:
        client.add_partitions(name, args.partitions)
    if args.json:
        print_json({"altered": name})
    else:
        print(f"Altered topic {name}.")
    return 0


def _delete(client: AdminClient, args: argparse.Namespace) -> int:
    names = args.names
    if args.if_exists:
        existing = {topic.name for topic in client.topics()}
        names = [name for name in names if name in existing]
    for name in names:
        client.delete_topic(name)
    if args.json:
        print_json({"deleted": names})
    else:
        for name in names:
            print(f"Deleted topic {name}.")
    return 0


_VERBS = {
    "create": _create,
    "list": _list,
    "describe": _describe,
    "alter": _alter,
    "delete": _delete,
}
