"""`headrace cluster status`: brokers, controller, leaders, isr, and who votes where."""

import argparse
import select
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from typing import Any

from ...core.address_text import address_text
from ...core.errors import HeadraceError
from . import cluster_admin
from .admin_client import AdminClient, PartitionInfo, TopicInfo
from .cluster_admin import GroupRow
from .common import EXIT_OK, print_json, print_table

_CLEAR_SCREEN = "\x1b[H\x1b[2J"
_MOST_ROWS = 20
_MOST_EXPLAINED = 5


@dataclass(frozen=True, slots=True)
class BrokerRow:
    """One broker: how many partitions it leads, holds and holds in sync."""

    broker_id: int
    address: str
    rack: str | None
    state: str
    leads: int
    holds: int
    in_sync: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A partition that lacks a leader or in-sync replicas.

    `voters` is None where they were not asked for, and empty where none of them is up to tell.
    """

    topic: str
    partition: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    state: str
    offline_replicas: tuple[int, ...]
    voters: tuple[int, ...] | None = None
    eligible_leader_replicas: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The cluster at one moment, as one of its brokers told it."""

    cluster_id: str
    controller_id: int
    term: int
    voters: tuple[int, ...]
    observers: tuple[int, ...]
    topics: int
    partitions: int
    brokers: tuple[BrokerRow, ...]
    troubles: tuple[Trouble, ...]
    moving: int

    def count(self, state: str) -> int:
        return sum(1 for trouble in self.troubles if trouble.state == state)


def read_status(client: AdminClient) -> Status:
    """What the cluster says now; the quorum is empty where it has no leader to ask."""
    cluster = cluster_admin.describe_cluster(client)
    moving = cluster_admin.reassignments(client)
    topics = cluster_admin.with_moves(client.topics(), moving)
    try:
        (quorum,) = cluster_admin.raft_groups(
            client, cluster["controller_id"], [(cluster_admin.METADATA_TOPIC, 0)]
        )
    except (HeadraceError, ValueError):
        quorum = GroupRow(cluster_admin.METADATA_TOPIC, 0, -1, -1, -1, (), (), ())
    brokers = tuple(_broker_rows(cluster["brokers"], topics))
    return Status(
        cluster["cluster_id"],
        cluster["controller_id"],
        quorum.term,
        quorum.voters,
        quorum.observers,
        len(topics),
        sum(len(topic.partitions) for topic in topics),
        brokers,
        tuple(_with_voters(client, brokers, _troubles(client, topics))),
        len(moving),
    )


def _broker_rows(brokers: Sequence[dict[str, Any]], topics: list[TopicInfo]) -> Iterator[BrokerRow]:
    parts = [part for topic in topics for part in topic.partitions]
    known = {row["broker_id"]: row for row in brokers}
    held_by = {broker for part in parts for broker in part.replicas}
    for broker in sorted(known.keys() | held_by):
        row = known.get(broker)
        is_up = row is not None and not row.get("is_fenced")
        yield BrokerRow(
            broker,
            "-" if row is None else address_text(row["host"], row["port"]),
            None if row is None else row.get("rack"),
            "up" if is_up else "down",
            sum(part.leader == broker for part in parts),
            sum(broker in part.replicas for part in parts),
            sum(broker in part.isr for part in parts),
        )


def _troubles(client: AdminClient, topics: list[TopicInfo]) -> list[Trouble]:
    troubled = [topic for topic in topics if any(map(_trouble_of, topic.partitions))]
    return [
        Trouble(
            topic.name,
            part.index,
            part.leader,
            part.leader_epoch,
            part.replicas,
            part.isr,
            state,
            part.offline_replicas,
            eligible_leader_replicas=part.elr or (),
        )
        for topic in cluster_admin.with_elr(client, troubled)
        for part in topic.partitions
        if (state := _trouble_of(part))
    ]


def _with_voters(
    client: AdminClient, brokers: Sequence[BrokerRow], troubles: Sequence[Trouble]
) -> Iterator[Trouble]:
    """The same, with who votes on those that are led by nobody and will be explained."""
    unled = [(row.topic, row.partition) for row in troubles if row.state == "offline"]
    explained = unled[:_MOST_EXPLAINED]
    asked = next((row.broker_id for row in brokers if row.state == "up"), None)
    voters: dict[cluster_admin.Place, tuple[int, ...]] = {}
    if explained and asked is not None:
        rows = cluster_admin.raft_groups(client, asked, explained)
        voters = {(row.topic, row.partition): row.voters for row in rows}
    for row in troubles:
        place = (row.topic, row.partition)
        yield replace(row, voters=voters.get(place, ())) if place in explained else row


def _trouble_of(part: PartitionInfo) -> str | None:
    if part.leader < 0:
        return "offline"
    return "under-replicated" if part.is_under_replicated else None


def run_status(client: AdminClient, args: argparse.Namespace) -> int:
    """Once, or with --watch until Ctrl-C."""
    while True:
        _show(client, args)
        if not args.watch:
            return EXIT_OK
        if not (args.json or sys.stdout.isatty()):
            print()  # a terminal shows the last one alone, a pipe or file one after the other
        sys.stdout.flush()
        # What changes at brokers is not told to clients: they have to be asked.
        select.select([], [], [], args.interval)


def _show(client: AdminClient, args: argparse.Namespace) -> None:
    try:
        status = read_status(client)
        groups = list(_groups(client, status)) if args.groups else []
    except HeadraceError as error:
        if not args.watch:
            raise
        client.close()  # ask another broker next time
        print(f"{_CLEAR_SCREEN if sys.stdout.isatty() else ''}{error}")
        return
    if args.json:
        print_json(as_json(status, groups))
        return
    if args.watch and sys.stdout.isatty():
        print(_CLEAR_SCREEN, end="")
    print_status(status)
    if groups:
        print()
        print_groups(groups)


def _groups(client: AdminClient, status: Status) -> Iterator[GroupRow]:
    """The group of every partition, as its leader sees it: any broker asks that one."""
    topics = client.topics()
    places = [(topic.name, part.index) for topic in topics for part in topic.partitions]
    asked = next(broker.broker_id for broker in status.brokers if broker.state == "up")
    rows = cluster_admin.raft_groups(client, asked, places)
    yield from sorted(rows, key=lambda row: (row.topic, row.partition))


def as_json(status: Status, groups: Sequence[GroupRow]) -> dict[str, Any]:
    """What `--json` prints."""
    document = asdict(status)
    document["under_replicated"] = status.count("under-replicated")
    document["offline"] = status.count("offline")
    if groups:
        document["groups"] = [
            {
                "topic": row.topic,
                "partition": row.partition,
                "leader": row.leader,
                "term": row.term,
                "commit_index": row.commit_index,
                "voters": row.voters,
            }
            for row in groups
        ]
    return document


def print_status(status: Status) -> None:
    """The cluster for a person."""
    voters = ",".join(map(str, status.voters)) or "-"
    print(
        f"cluster {status.cluster_id}  controller {status.controller_id}  term {status.term}  "
        f"voters {voters}"
    )
    print()
    print_table(
        ("BROKER", "ADDRESS", "RACK", "STATE", "LEADS", "HOLDS", "IN SYNC"),
        [
            (row.broker_id, row.address, row.rack, row.state, row.leads, row.holds, row.in_sync)
            for row in status.brokers
        ],
    )
    print()
    print(
        f"{status.topics} topics, {status.partitions} partitions: "
        f"{status.count('under-replicated')} under-replicated, {status.count('offline')} offline, "
        f"{status.moving} moving"
    )
    if status.troubles:
        print()
        print_table(
            ("TOPIC", "PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "STATE"),
            [astuple(row)[:7] for row in status.troubles[:_MOST_ROWS]],
        )
        if len(status.troubles) > _MOST_ROWS:
            print(f"... and {len(status.troubles) - _MOST_ROWS} more")
        unled = [row for row in status.troubles if row.state == "offline"]
        for line in map(partial(explain_unled, status), unled[:_MOST_EXPLAINED]):
            print(f"\n{line}")


def explain_unled(status: Status, trouble: Trouble) -> str:
    """Why nobody leads a partition, and what a person can do."""
    name = f"{trouble.topic}:{trouble.partition}"
    up = {row.broker_id for row in status.brokers if row.state == "up"}
    causes = []
    eligible = trouble.eligible_leader_replicas
    for broker_id in (*trouble.isr, *eligible):
        if broker_id not in up:
            causes.append(f"broker {broker_id} is down")
        elif broker_id in trouble.offline_replicas:
            causes.append(f"broker {broker_id} cannot serve its log, as its own log says")
        else:
            causes.append(
                f"broker {broker_id} is up, and is elected once a majority of the voters is"
            )
    unled = (
        f"{name} is led by nobody.  In sync{' or eligible' * bool(eligible)}, with every "
        "acknowledged record, were only: "
        f"{'; '.join(causes) or 'none'}.\n"
    )
    if trouble.voters is not None and 2 * len(up.intersection(trouble.voters)) <= len(
        trouble.voters
    ):
        return unled + _who_must_come_back(trouble, up)
    if set(trouble.replicas) <= {*trouble.isr, *eligible}:
        return unled + "Bring one of these back as it was: no other broker has a replica."
    return unled + (
        "Bring one of these back as it was.  If none will come back, another replica can lead, "
        "without the\nrecords that it lacks: "
        f"headrace cluster elect {name} --unclean"
    )


def _who_must_come_back(trouble: Trouble, up: Collection[int]) -> str:
    """What to do where nothing can be decided about a partition, by hand neither."""
    voters = trouble.voters
    if not voters:
        names = _names(trouble.replicas)
        first = ", those in sync first" if len(trouble.replicas) > 1 else ""
        return (
            "None of its voters is up: before a majority of them is, nobody can be elected, "
            f"not even with\n--unclean.  Bring back {names}{first}."
        )
    missing = sorted(set(voters).difference(up))
    needed = len(voters) // 2 + 1 - (len(voters) - len(missing))
    in_sync = [each for each in missing if each in trouble.isr]  # before those only eligible
    some = bool(in_sync) and len(in_sync) < len(missing)
    first = f", first of all {_names(in_sync)}, in sync till the end" if some else ""
    who = _names(missing) if needed == len(missing) else f"{needed} of {_names(missing)}"
    return (
        f"No majority of its voters {_ids(sorted(voters))} is up: before one is, nobody can be "
        f"elected, not even with\n--unclean.  Bring back {who}{first}."
    )


def _names(brokers: Collection[int]) -> str:
    return f"broker{'s' if len(brokers) != 1 else ''} {_ids(brokers)}"


def _ids(brokers: Iterable[int]) -> str:
    return ",".join(map(str, brokers)) or "none"


def print_groups(groups: Sequence[GroupRow]) -> None:
    """A row a Raft group: who decides about each partition."""
    print_table(
        ("TOPIC", "PARTITION", "RAFT LEADER", "TERM", "COMMITTED", "VOTERS"),
        [
            (row.topic, row.partition, row.leader, row.term, row.commit_index, row.voters)
            for row in groups
        ],
    )
