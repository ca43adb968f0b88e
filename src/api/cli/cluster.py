"""`headrace cluster`: who is there, who leads, and moving what they hold."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from . import cluster_admin, replication_throttles
from .admin_client import AdminClient, TopicInfo
from .cluster_moves import (
    carry_out,
    check_brokers,
    check_log_dirs,
    spread_replicas,
)
from .cluster_removal import UNDER_MIN_ISR, run_removal
from .cluster_status import run_status
from .common import (
    EXIT_FAILURE,
    EXIT_OK,
    EXIT_USAGE,
    CliError,
    add_client_arguments,
    add_command,
    connect,
    print_json,
    print_table,
)
from .replica_log_dirs import Replica

HELP = "show a cluster, elect leaders, move replicas, remove a broker"
EXAMPLES = """examples:
  headrace cluster status --watch
  headrace cluster elect                         leaders go back to the preferred replicas
  headrace cluster elect clicks:0 --unclean      a replica out of sync may lead: may lose records
  headrace cluster reassign clicks --to 1,2,3
  headrace cluster reassign clicks --replication-factor 3 --throttle 10000000
  headrace cluster reassign clicks:0 --to 1,2 --log-dirs /disk2/headrace,any
  headrace cluster remove-broker 2
"""
_PLACE = re.compile(r"(?P<topic>[^:]+)(?::(?P<partition>\d+))?")


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "cluster", HELP, EXAMPLES)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    status = verbs.add_parser("status", help="brokers, controller, leaders, what is not in sync")
    status.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    status.add_argument("--groups", action="store_true", help="with a row a Raft group")
    status.add_argument(
        "--interval", type=float, default=1.0, metavar="SECONDS", help="of --watch (default: 1)"
    )
    elect = verbs.add_parser("elect", help="elect the preferred leaders, or any replica")
    elect.add_argument("places", nargs="*", metavar="TOPIC[:PARTITION]")
    elect.add_argument("--unclean", action="store_true", help="also a replica that is out of sync")
    reassign = verbs.add_parser("reassign", help="move replicas to other brokers")
    reassign.add_argument("places", nargs="+", metavar="TOPIC[:PARTITION]")
    how = reassign.add_mutually_exclusive_group(required=True)
    how.add_argument("--to", metavar="ID,ID", help="the brokers that shall hold them, in order")
    how.add_argument("--replication-factor", type=int, metavar="N", help="spread over all brokers")
    how.add_argument("--cancel", action="store_true", help="go back to where they were")
    reassign.add_argument(
        "--throttle",
        type=_rate,
        metavar="BYTES",
        help="copy at most so many bytes a second from and to each broker; has to be well above "
        "what producers write there, or the move never ends",
    )
    reassign.add_argument(
        "--preserve-throttles",
        action="store_true",
        help="of --cancel: leave the throttles of the moves that are called off",
    )
    reassign.add_argument(
        "--log-dirs",
        metavar="PATH,PATH",
        help="the folder of log.dirs on each broker of --to, or `any`",
    )
    remove = verbs.add_parser(
        "remove-broker", help="move everything off brokers, all at once, and forget them"
    )
    remove.add_argument("broker_ids", type=int, nargs="+", metavar="ID")
    remove.add_argument(
        UNDER_MIN_ISR,
        action="store_true",
        help="also where fewer copies are left than min.insync.replicas: acks=all is refused then",
    )
    for verb in (reassign, remove):
        verb.add_argument("--no-wait", action="store_true", help="ask, and do not watch")
    for verb in (status, elect, reassign, remove):
        add_client_arguments(verb)


def run(args: argparse.Namespace) -> int:
    with connect(args) as client:
        return int(_VERBS[args.verb](client, args))


def _rate(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: give bytes a second, as in 10000000")
    return int(text)


def parse_place(text: str) -> tuple[str, int | None]:
    """`TOPIC` or `TOPIC:PARTITION`."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise CliError(f"{text}: give TOPIC or TOPIC:PARTITION", EXIT_USAGE)
    return match["topic"], None if match["partition"] is None else int(match["partition"])


def selected(client: AdminClient, texts: Sequence[str]) -> list[tuple[TopicInfo, int]]:
    """(topic, partition) of each that is named; AdminError or CliError for what is not there."""
    wanted = [parse_place(text) for text in texts]
    topics = {topic.name: topic for topic in client.topics({name for name, _ in wanted})}
    found = []
    for name, index in wanted:
        topic = topics[name]
        if index is not None and index >= len(topic.partitions):
            raise CliError(f"{name} has {len(topic.partitions)} partitions; there is no {index}")
        indexes = range(len(topic.partitions)) if index is None else [index]
        found += [(topic, each) for each in indexes]
    return found


def _elect(client: AdminClient, args: argparse.Namespace) -> int:
    kind = cluster_admin.UNCLEAN if args.unclean else cluster_admin.PREFERRED
    if args.unclean and not args.places:
        raise CliError("--unclean may lose records: name the partitions", EXIT_USAGE)
    places = [(topic.name, index) for topic, index in selected(client, args.places)]
    rows = cluster_admin.elect_leaders(client, kind, places or None)
    changed = [row for row in rows if row.code.name == "NONE"]
    failed = [row for row in rows if row.code.name not in ("NONE", "ELECTION_NOT_NEEDED")]
    if args.json:
        print_json([_as_json(row) for row in rows])
    else:
        print(f"{len(changed)} elected, {len(failed)} refused, the others lead already")
        if failed:
            print_table(
                ("TOPIC", "PARTITION", "WHY"),
                [(row.topic, row.partition, row.message) for row in failed],
            )
    return EXIT_FAILURE if failed else EXIT_OK


def _as_json(row: cluster_admin.Refusal) -> dict[str, Any]:
    return {"topic": row.topic, "partition": row.partition, "result": row.code.name}


def _reassign(client: AdminClient, args: argparse.Namespace) -> int:
    if args.throttle is not None and (args.cancel or args.no_wait):
        raise CliError("--throttle is lifted when the move is done: it needs to wait", EXIT_USAGE)
    if args.preserve_throttles and not args.cancel:
        raise CliError("--preserve-throttles goes with --cancel", EXIT_USAGE)
    if args.log_dirs is not None and args.to is None:
        raise CliError("--log-dirs names a folder for each broker of --to", EXIT_USAGE)
    chosen = selected(client, args.places)
    rows = cluster_admin.describe_cluster(client)["brokers"]
    brokers = sorted(row["broker_id"] for row in rows)
    targets: dict[cluster_admin.Place, Sequence[int] | None]
    log_dirs: dict[Replica, str] = {}
    if args.cancel:
        targets = {(topic.name, index): None for topic, index in chosen}
    elif args.to is not None:
        replicas = check_brokers(args.to, brokers)
        targets = {(topic.name, index): replicas for topic, index in chosen}
        if args.log_dirs is not None:
            log_dirs = check_log_dirs(args.log_dirs, list(targets), replicas)
    else:
        down = {row["broker_id"] for row in rows if row.get("is_fenced")}
        racks = {row["broker_id"]: row.get("rack") for row in rows}
        targets = dict(spread_replicas(chosen, brokers, args.replication_factor, racks, down))
    if args.throttle is None:
        return _move_freely(client, args, targets, log_dirs)
    current = {(topic.name, index): topic.partitions[index].replicas for topic, index in chosen}
    return _move_throttled(client, args, targets, log_dirs, current)


def _move_throttled(
    client: AdminClient,
    args: argparse.Namespace,
    targets: dict[cluster_admin.Place, Sequence[int] | None],
    log_dirs: dict[Replica, str],
    current: Mapping[cluster_admin.Place, Sequence[int]],
) -> int:
    """Throttle, move, and lift the throttle, also after Ctrl-C: then the move goes on without."""
    wanted = {place: replicas for place, replicas in targets.items() if replicas is not None}
    under_way = cluster_admin.reassignments(client, wanted)
    moves = replication_throttles.moves_of(under_way, current, wanted)
    try:
        down = replication_throttles.limit(client, moves, args.throttle)
        if down:
            print(replication_throttles.not_throttled(down), file=sys.stderr)
        code = carry_out(client, args, targets, log_dirs)
    finally:
        replication_throttles.clear_topics(client, {topic for topic, _ in targets})
        left = replication_throttles.clear_brokers(client, replication_throttles.brokers_of(moves))
        if left:
            print(replication_throttles.still_throttled(left), file=sys.stderr)
    return code or (EXIT_FAILURE if left else EXIT_OK)


def _move_freely(
    client: AdminClient,
    args: argparse.Namespace,
    targets: dict[cluster_admin.Place, Sequence[int] | None],
    log_dirs: dict[Replica, str],
) -> int:
    """Move, and lift what a command that was killed left: before, or as a move is called off."""
    if not args.cancel:
        _lift_left_behind(client, targets)
    code = carry_out(client, args, targets, log_dirs)
    if args.cancel and args.preserve_throttles:
        return code
    return code or _lift_left_behind(client, targets, are_called_off=args.cancel)


def _lift_left_behind(
    client: AdminClient,
    targets: Mapping[cluster_admin.Place, object],
    *,
    are_called_off: bool = False,
) -> int:
    under_way = [
        each
        for each in cluster_admin.reassignments(client)
        if not (are_called_off and (each.topic, each.partition) in targets)
    ]
    topics = {topic for topic, _ in targets}
    held_back = replication_throttles.left_behind(
        client, topics.intersection(each.topic for each in under_way)
    )
    if held_back:
        print(
            f"Throttled by another command, which may be gone: {', '.join(held_back)}. "
            "--throttle sets another rate, --cancel lifts it.",
            file=sys.stderr,
        )
    lifted, left = replication_throttles.lift_left_behind(client, topics, under_way)
    if lifted:
        print(f"Throttles of an earlier move are lifted: {', '.join(lifted)}.", file=sys.stderr)
    if left:
        print(replication_throttles.still_throttled(left), file=sys.stderr)
    return EXIT_FAILURE if left else EXIT_OK


_VERBS = {
    "status": run_status,
    "elect": _elect,
    "reassign": _reassign,
    "remove-broker": run_removal,
}
