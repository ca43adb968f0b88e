"""kafka-reassign-partitions.sh: --generate, --execute, --verify, --list and --cancel moves."""

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.errors import HeadraceError
from ...wire.error_codes import ErrorCode
from .. import cluster_admin, replication_throttles
from ..admin_client import AdminClient, AdminError
from ..cluster_admin import Place, Refusal
from . import log_dir_moves, reassignment_files
from .options import KafkaParser, admin, exception_name, make_parser
from .reassignment_files import joined, name_of

if TYPE_CHECKING:
    from ....raft.topic_image import BrokerRegistration

_ACTIONS = ("verify", "generate", "execute", "cancel", "list")
_ONLY_WITH = {
    "reassignment_json_file": ("verify", "execute", "cancel"),
    "topics_to_move_json_file": ("generate",),
    "broker_list": ("generate",),
    "disable_rack_aware": ("generate",),
    "throttle": ("execute",),
    "replica_alter_log_dirs_throttle": ("execute",),
    "timeout": ("execute", "cancel"),
    "additional": ("execute",),
    "preserve_throttles": ("verify", "cancel"),
    "disallow_replication_factor_change": ("execute",),
}
"""Option -> the actions that it may stand beside."""
_EXISTING = (
    "Cannot execute because there is an existing partition assignment.  Use --additional to "
    "override this and create a new partition assignment in addition to the existing one. The "
    "--additional flag can also be used to change the throttle by resubmitting the current "
    "reassignment."
)
_MUST_VERIFY = (
    "Warning: You must run --verify periodically, until the reassignment completes, to ensure the "
    "throttle is removed."
)


class _TerseError(HeadraceError):
    """Printed as it is; Kafka's tool writes `Error:` before others."""


def _parser() -> KafkaParser:
    parser = make_parser(
        "kafka-reassign-partitions", "This tool helps to move topic partitions between replicas."
    )
    parser.add_argument("--bootstrap-server", "--bootstrap-controller", dest="bootstrap_server")
    parser.add_argument("--command-config", type=Path)
    for action in _ACTIONS:
        parser.add_argument(f"--{action}", action="store_true")
    parser.add_argument("--reassignment-json-file", type=Path)
    parser.add_argument("--topics-to-move-json-file", type=Path)
    parser.add_argument("--broker-list")
    parser.add_argument("--disable-rack-aware", action="store_true")
    parser.add_argument("--throttle", type=int, default=-1)
    parser.add_argument("--replica-alter-log-dirs-throttle", type=int, default=-1)
    parser.add_argument("--timeout", type=int, default=10_000)
    parser.add_argument("--additional", action="store_true")
    parser.add_argument("--preserve-throttles", action="store_true")
    parser.add_argument("--disallow-replication-factor-change", action="store_true")
    return parser


def main(argv: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    given = [action for action in _ACTIONS if getattr(args, action)]
    if len(given) != 1:
        named = ", ".join(f"--{action}" for action in _ACTIONS)
        parser.error(f"Command must include exactly one action: {named}")
    if args.bootstrap_server is None:
        parser.error("Please specify either --bootstrap-server or --bootstrap-controller")
    _check_files(parser, args, given[0])
    try:
        with admin(args) as client:
            _RUN[given[0]](client, args)
    except AdminError as error:
        print(
            f"Error: org.apache.kafka.common.errors.{exception_name(error.code.name)}: "
            f"{error.message}"
        )
        return 1
    except (_TerseError, log_dir_moves.MovesTimedOutError) as error:
        print(error)
        return 1
    except HeadraceError as error:
        print(f"Error: {error}")
        return 1
    return 0


def _check_files(parser: KafkaParser, args: argparse.Namespace, action: str) -> None:
    for name, actions in _ONLY_WITH.items():
        option = name.replace("_", "-")
        if getattr(args, name) != parser.get_default(name) and action not in actions:
            parser.error(f'Option "[{option}]" can\'t be used with action "[{action}]"')
    if action in ("verify", "execute", "cancel") and args.reassignment_json_file is None:
        parser.error('Missing required argument "[reassignment-json-file]"')
    if action == "generate":
        if args.topics_to_move_json_file is None:
            parser.error('Missing required argument "[topics-to-move-json-file]"')
        if args.broker_list is None:
            parser.error('Missing required argument "[broker-list]"')


def _replicas(client: AdminClient, topics: set[str]) -> dict[Place, list[int]]:
    """Who holds what now; AdminError for a topic that is not there."""
    found = _found_replicas(client, topics)
    for topic in sorted(topics - {name for name, _ in found}):
        raise _not_found(topic, f"Topic {topic} not found.")
    return found


def _found_replicas(client: AdminClient, topics: set[str]) -> dict[Place, list[int]]:
    return {
        (topic.name, part.index): list(part.replicas)
        for topic in client.topics()
        if topic.name in topics
        for part in topic.partitions
    }


def _not_found(subject: str, message: str) -> AdminError:
    return AdminError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, subject, message)


def _generate(client: AdminClient, args: argparse.Namespace) -> None:
    topics = reassignment_files.read_topics(args.topics_to_move_json_file)
    brokers = reassignment_files.parse_brokers(args.broker_list)
    current = _replicas(client, set(topics))
    registered = _registered(client, brokers, is_rack_aware=not args.disable_rack_aware)
    proposed: dict[Place, list[int]] = {}
    for topic in sorted(topics):
        proposed |= _placed_anew(topic, current, registered)
    log_dirs = log_dir_moves.current_log_dirs(client, current)
    told = reassignment_files.as_json(current, log_dirs)
    print(
        f"Current partition replica assignment\n{told}\n\n"
        "Proposed partition reassignment configuration\n" + reassignment_files.as_json(proposed)
    )


def _registered(
    client: AdminClient, wanted: Sequence[int], *, is_rack_aware: bool
) -> list["BrokerRegistration"]:
    """Those of `wanted` that are up, with their racks if these are looked at."""
    from ....raft.topic_image import BrokerRegistration

    rows = [
        row
        for row in cluster_admin.describe_cluster(client)["brokers"]
        if row["broker_id"] in wanted and not row.get("is_fenced")
    ]
    racks = [row.get("rack") if is_rack_aware else None for row in rows]
    if None in racks and any(racks):
        raise HeadraceError(
            "Not all brokers have rack information. Add --disable-rack-aware in command line to "
            "make replica assignment without rack information."
        )
    return [
        BrokerRegistration(row["broker_id"], 0, row["host"], row["port"], rack)
        for row, rack in zip(rows, racks, strict=True)
    ]


def _placed_anew(
    topic: str, current: Mapping[Place, Sequence[int]], brokers: Sequence["BrokerRegistration"]
) -> dict[Place, list[int]]:
    """A topic's partitions as if it was created on `brokers`."""
    from ....raft.placement import place_partitions

    places = sorted(place for place in current if place[0] == topic)
    count = len(current[places[0]])
    if count > len(brokers):
        raise HeadraceError(
            f"The target replication factor of {count} cannot be reached because only "
            f"{len(brokers)} broker(s) are registered."
        )
    placed = place_partitions(
        brokers,
        partition_count=len(places),
        replication_factor=count,
        start_index=random.randrange(len(brokers)),
    )
    return {place: list(replicas) for place, replicas in zip(places, placed, strict=True)}


def _execute(client: AdminClient, args: argparse.Namespace) -> None:
    targets = reassignment_files.read_new_targets(args.reassignment_json_file)
    log_dirs = reassignment_files.read_log_dirs(args.reassignment_json_file)
    under_way = cluster_admin.reassignments(client)
    if under_way and not args.additional:
        raise _TerseError(_EXISTING)
    _check_brokers(client, targets)
    everything = _replicas(client, {topic for topic, _ in targets})
    for place in targets:
        if place not in everything:
            raise _not_found(name_of(place), f"Unable to find partition: {name_of(place)}")
    current = {place: everything[place] for place in targets}
    told = reassignment_files.as_json(current, log_dir_moves.current_log_dirs(client, current))
    print(
        f"Current partition replica assignment\n\n{told}\n\n"
        "Save this to use as the --reassignment-json-file option during rollback"
    )
    moves = replication_throttles.moves_of(under_way, current, targets)
    _limit(client, args, moves, {replica.broker for replica in log_dirs})
    may_change = not args.disallow_replication_factor_change
    rows = cluster_admin.reassign(client, targets, may_change_count=may_change)
    _raise_refused(rows, "Error reassigning partition(s):")
    print(f"Successfully started partition reassignment{_s(rows)} for {joined(sorted(targets))}")
    log_dir_moves.execute_moves(client, log_dirs, args.timeout)


def _limit(
    client: AdminClient,
    args: argparse.Namespace,
    moves: dict[Place, replication_throttles.Move],
    brokers: set[int],
) -> None:
    """Sets the rates that are asked for; `brokers` move replicas between their log directories."""
    if args.throttle >= 0 or args.replica_alter_log_dirs_throttle >= 0:
        print(_MUST_VERIFY)
    if args.throttle >= 0:
        down = replication_throttles.limit(client, moves, args.throttle)
        if down:
            print(replication_throttles.not_throttled(down), file=sys.stderr)
        print(f"The inter-broker throttle limit was set to {args.throttle} B/s")
    if args.replica_alter_log_dirs_throttle >= 0:
        rate = args.replica_alter_log_dirs_throttle
        replication_throttles.limit_log_dirs(client, brokers, rate)
        print(f"The replica-alter-dir throttle limit was set to {rate} B/s")


def _check_brokers(client: AdminClient, targets: dict[Place, list[int]]) -> None:
    named = {each for replicas in targets.values() for each in replicas}
    for broker in sorted(named - cluster_admin.live_brokers(client)):
        raise HeadraceError(f"Unknown broker id {broker}")


def _raise_refused(rows: list[Refusal], heading: str) -> None:
    refused = [row for row in rows if row.code != ErrorCode.NONE]
    if refused:
        lines = [f"{row.topic}-{row.partition}: {row.message}" for row in refused]
        raise _TerseError("\n".join([heading, *lines]))


def _s(items: object) -> str:
    return "" if len(items) == 1 else "s"  # type: ignore[arg-type]


def _verify(client: AdminClient, args: argparse.Namespace) -> None:
    targets = reassignment_files.read_targets(args.reassignment_json_file)
    moving = {(each.topic, each.partition) for each in cluster_admin.reassignments(client)}
    current = _found_replicas(client, {topic for topic, _ in targets})
    print("Status of partition reassignment:")
    for place in sorted(targets):
        name = name_of(place)
        replicas = current.get(place, [])
        if place in moving:
            print(f"Reassignment of partition {name} is still in progress.")
        elif replicas == targets[place]:
            print(f"Reassignment of partition {name} is completed.")
        else:
            print(
                f"There is no active reassignment of partition {name}, but replica set is "
                f"{','.join(map(str, replicas))} rather than {','.join(map(str, targets[place]))}."
            )
    log_dirs = reassignment_files.read_log_dirs(args.reassignment_json_file)
    has_moves = log_dir_moves.verify_moves(client, log_dirs)
    # As in Kafka also for moves that the file does not name: they share the brokers' rates.
    if not moving and not has_moves and not args.preserve_throttles:
        _clear_throttles(client, targets)


def _clear_throttles(client: AdminClient, targets: dict[Place, list[int]]) -> None:
    brokers = replication_throttles.throttled_brokers(client, targets.values())
    named = ",".join(map(str, brokers))
    print(f"Clearing broker-level throttles on broker{_s(brokers)} {named}")
    left = replication_throttles.clear_brokers(client, brokers)
    topics = sorted({topic for topic, _ in targets})
    print(f"Clearing topic-level throttles on topic{_s(topics)} {','.join(topics)}")
    replication_throttles.clear_topics(client, topics)
    if left:
        raise HeadraceError(replication_throttles.still_throttled(left))


def _cancel(client: AdminClient, args: argparse.Namespace) -> None:
    targets = reassignment_files.read_targets(args.reassignment_json_file)
    moving = {(each.topic, each.partition) for each in cluster_admin.reassignments(client)}
    active = sorted(targets.keys() & moving)
    if active:
        rows = cluster_admin.reassign(client, dict.fromkeys(active))
        _raise_refused(rows, f"Error cancelling partition reassignment{_s(rows)} for:")
        print(f"Successfully cancelled partition reassignment{_s(active)} for: {joined(active)}")
    else:
        print("None of the specified partition reassignments are active.")
    log_dirs = reassignment_files.read_log_dirs(args.reassignment_json_file)
    back = log_dir_moves.active_moves(client, log_dirs)
    if back:
        log_dir_moves.execute_moves(client, back, args.timeout)
    else:
        print("None of the specified partition moves are active.", end="")  # nor does Kafka's
    if not args.preserve_throttles:
        _clear_throttles(client, targets)


def _list(client: AdminClient, args: argparse.Namespace) -> None:
    moving = cluster_admin.reassignments(client)
    if not moving:
        print("No partition reassignments found.")
        return
    print("Current partition reassignments:")
    for each in moving:
        text = f"{each.topic}-{each.partition}: replicas: {','.join(map(str, each.replicas))}."
        if each.adding:
            text += f" adding: {','.join(map(str, each.adding))}."
        if each.removing:
            text += f" removing: {','.join(map(str, each.removing))}."
        print(text)


_RUN = {
    "verify": _verify,
    "generate": _generate,
    "execute": _execute,
    "cancel": _cancel,
    "list": _list,
}
