"""kafka-topics.sh: --create, --list, --describe, --alter, --delete."""

import argparse
import re
import sys

from ....core.errors import HeadraceError
from .. import cluster_admin
from ..admin_client import TOPIC_RESOURCE, AdminClient, AdminError, PartitionInfo, TopicInfo
from .options import add_bootstrap, admin, error_line, exception_name, make_parser, parse_pairs

COLLISION_WARNING = (
    "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') "
    "could collide. To avoid issues it is best to use either, but not both."
)

_FILTERS = (
    "under_replicated_partitions",
    "under_min_isr_partitions",
    "at_min_isr_partitions",
    "unavailable_partitions",
    "topics_with_overrides",
)
_DEFAULT_SOURCE = 5  # DEFAULT_CONFIG, as DescribeConfigs numbers where a value comes from


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-topics", "Create, delete, describe, or change a topic.")
    add_bootstrap(parser, required=False)
    actions = parser.add_mutually_exclusive_group(required=True)
    for action in ("create", "list", "describe", "alter", "delete"):
        actions.add_argument(f"--{action}", action="store_true")
    parser.add_argument("--topic")
    parser.add_argument("--topic-id")
    parser.add_argument("--zookeeper", help="read as the bootstrap address, with a warning")
    parser.add_argument("--partitions", type=int)
    parser.add_argument("--replication-factor", type=int)
    parser.add_argument("--replica-assignment")
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--if-not-exists", action="store_true")
    parser.add_argument("--if-exists", action="store_true")
    parser.add_argument("--exclude-internal", action="store_true")
    parser.add_argument("--topics-with-overrides", action="store_true")
    parser.add_argument("--under-replicated-partitions", action="store_true")
    parser.add_argument("--unavailable-partitions", action="store_true")
    parser.add_argument("--under-min-isr-partitions", action="store_true")
    parser.add_argument("--at-min-isr-partitions", action="store_true")
    return parser


def main(argv: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.bootstrap_server is None and args.zookeeper is not None:
        print(
            "WARNING: --zookeeper is read as --bootstrap-server: there is no ZooKeeper here.",
            file=sys.stderr,
        )
        args.bootstrap_server = args.zookeeper
    if args.bootstrap_server is None:
        parser.error('Missing required argument "[bootstrap-server]"')
    if args.topic is None and args.topic_id is None and (args.create or args.alter or args.delete):
        parser.error('Missing required argument "[topic]"')
    filters = [name for name in _FILTERS if getattr(args, name)]
    if filters and not args.describe:
        action = next(name for name in _ACTIONS if getattr(args, name))
        option = filters[0].replace("_", "-")
        parser.error(f'Option "[{option}]" can\'t be used with option "[{action}]"')
    action = next(name for name in _ACTIONS if getattr(args, name))
    try:
        with admin(args) as client:
            _ACTIONS[action](client, args)
    except (AdminError, HeadraceError) as error:
        message = error.message if isinstance(error, AdminError) else str(error)
        print(f"Error while executing topic command : {message}")
        if isinstance(error, AdminError):
            error_line(message, exception_name(error.code.name), "TopicCommand")
        return 1
    return 0


def parse_replica_assignment(text: str) -> dict[int, list[int]]:
    """`0:1,1:2` -> {0: [0, 1], 1: [1, 2]}: partitions by comma, brokers by colon."""
    try:
        return {
            index: [int(broker) for broker in part.split(":")]
            for index, part in enumerate(text.split(","))
        }
    except ValueError:
        raise HeadraceError(f"--replica-assignment {text}: must be broker:broker,...") from None


def _create(client: AdminClient, args: argparse.Namespace) -> None:
    if "." in args.topic or "_" in args.topic:
        print(COLLISION_WARNING)
    if args.if_not_exists and any(topic.name == args.topic for topic in client.topics()):
        return
    assignment = (
        parse_replica_assignment(args.replica_assignment or "")
        if (args.replica_assignment)
        else None
    )
    client.create_topic(
        args.topic,
        partitions=-1 if args.partitions is None else args.partitions,
        replication_factor=-1 if args.replication_factor is None else args.replication_factor,
        assignment=assignment,
        configs=parse_pairs("--config", args.config),
    )
    print(f"Created topic {args.topic}.")


def _selected(client: AdminClient, args: argparse.Namespace) -> list[TopicInfo]:
    """Topics by the regular expression in --topic, as Kafka reads it, or by id, or all."""
    topics = client.topics()
    if args.topic_id is not None:
        found = [topic for topic in topics if topic.topic_id_text == args.topic_id]
        if not found and not args.if_exists:
            raise HeadraceError(f"TopicId '{args.topic_id}' does not exist as expected")
        return found
    if args.topic is not None:
        try:
            pattern = re.compile(args.topic.replace(",", "|").strip("\"'"))
        except re.error as error:
            raise HeadraceError(f"{args.topic} is an invalid regex: {error}") from None
        topics = [topic for topic in topics if pattern.fullmatch(topic.name)]
        if not topics and not args.list and not args.if_exists:
            raise HeadraceError(f"Topic '{args.topic}' does not exist as expected")
    if args.exclude_internal:
        topics = [topic for topic in topics if not topic.is_internal]
    return topics


def _list(client: AdminClient, args: argparse.Namespace) -> None:
    for topic in _selected(client, args):
        print(topic.name)


def _joined(brokers: tuple[int, ...]) -> str:
    return ",".join(str(broker) for broker in brokers)


def _is_shown(part: PartitionInfo, args: argparse.Namespace, min_isr: int) -> bool:
    if args.under_replicated_partitions:
        return part.is_under_replicated
    if args.unavailable_partitions:
        return part.leader < 0
    if args.under_min_isr_partitions:
        return part.leader < 0 or len(part.isr) < min_isr
    if args.at_min_isr_partitions:
        return len(part.isr) == min_isr
    return True


def _configs_shown(client: AdminClient, topic: str) -> dict[str, str | None]:
    """What Kafka's script shows of a topic's settings: all that somebody set, also for brokers."""
    entries = client.configs(TOPIC_RESOURCE, topic)
    return {entry.name: entry.value for entry in entries if entry.source != _DEFAULT_SOURCE}


def _describe(client: AdminClient, args: argparse.Namespace) -> None:
    filtered = (
        args.under_replicated_partitions
        or args.unavailable_partitions
        or args.under_min_isr_partitions
        or args.at_min_isr_partitions
    )
    selected = cluster_admin.with_elr(client, _selected(client, args))
    for topic in cluster_admin.with_moves(selected, cluster_admin.reassignments(client)):
        configs = _configs_shown(client, topic.name)
        if args.topics_with_overrides and not configs:
            continue
        if not filtered:
            settings = ",".join(f"{name}={value}" for name, value in configs.items())
            print(
                f"Topic: {topic.name}\tTopicId: {topic.topic_id_text}"
                f"\tPartitionCount: {len(topic.partitions)}"
                f"\tReplicationFactor: {topic.replication_factor}\tConfigs: {settings}"
            )
        if args.topics_with_overrides:
            continue
        min_isr = int(configs.get("min.insync.replicas") or 1)
        for part in topic.partitions:
            if _is_shown(part, args, min_isr):
                print(_partition_line(topic.name, part))


def _partition_line(topic: str, part: PartitionInfo) -> str:
    """Who adds and who leaves is told of a partition that moves, as Kafka's script tells it."""
    leader = str(part.leader) if part.leader >= 0 else "none"
    line = (
        f"\tTopic: {topic}\tPartition: {part.index}\tLeader: {leader}"
        f"\tReplicas: {_joined(part.replicas)}\tIsr: {_joined(part.isr)}"
    )
    if part.adding or part.removing:
        line += f"\tAdding Replicas: {_joined(part.adding)}"
        line += f"\tRemoving Replicas: {_joined(part.removing)}"
    eligible = "N/A" if part.elr is None else _joined(part.elr)
    last_known = "N/A" if part.last_known_elr is None else _joined(part.last_known_elr)
    return f"{line}\tElr: {eligible}\tLastKnownElr: {last_known}"


def _alter(client: AdminClient, args: argparse.Namespace) -> None:
    if args.config:
        raise HeadraceError("--config cannot be altered here: use kafka-configs.sh --alter")
    if args.partitions is None:
        raise HeadraceError("--alter needs --partitions")
    for topic in _selected(client, args):
        client.add_partitions(topic.name, args.partitions)


def _delete(client: AdminClient, args: argparse.Namespace) -> None:
    for topic in _selected(client, args):
        client.delete_topic(topic.name)


_ACTIONS = {
    "create": _create,
    "list": _list,
    "describe": _describe,
    "alter": _alter,
    "delete": _delete,
}
