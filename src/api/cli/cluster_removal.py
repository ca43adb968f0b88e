"""`headrace cluster remove-broker`: moves everything off brokers, and has the cluster forget them.

What becomes of the copies is said before anything moves.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from . import cluster_admin, cluster_moves
from .admin_client import TOPIC_RESOURCE, AdminClient, TopicInfo
from .cluster_admin import Place
from .common import EXIT_OK, CliError

UNDER_MIN_ISR = "--allow-under-min-isr"
NAMED = 5


def run_removal(client: AdminClient, args: argparse.Namespace) -> int:
    """`headrace cluster remove-broker`."""
    removed = sorted(set(args.broker_ids))
    topics = cluster_admin.with_moves(client.topics(), cluster_admin.reassignments(client))
    rows = cluster_admin.describe_cluster(client)["brokers"]
    known = {row["broker_id"] for row in rows}
    holders = {each for topic in topics for part in topic.partitions for each in part.replicas}
    for broker in removed:
        if broker not in known | holders:
            raise CliError(f"no broker {broker}: known are {sorted(known | holders)}")
    live = {row["broker_id"] for row in rows if not row.get("is_fenced")}
    without = partial(
        cluster_moves.targets_without,
        removed=removed,
        usable=sorted(live.difference(removed)),
        racks={row["broker_id"]: row.get("rack") for row in rows},
        up=live.intersection(removed),
    )
    targets: dict[Place, Sequence[int] | None] = dict(without(topics))
    _check_copies(client, args, topics, targets)
    if targets:
        code = cluster_moves.carry_out(client, args, targets, {})
        if code != EXIT_OK or args.no_wait:
            return code
        topics = client.topics()
        _check_holds_nothing(removed, len(dict(without(topics))))
    for broker in removed:
        if broker in live:
            told = _may_be_stopped(topics, broker)
        else:
            cluster_admin.unregister_broker(client, broker)
            told = f"Broker {broker} holds nothing any more and is forgotten."
        if not args.json:
            print(told)
    return EXIT_OK


def _check_copies(
    client: AdminClient,
    args: argparse.Namespace,
    topics: Sequence[TopicInfo],
    targets: Mapping[Place, Sequence[int] | None],
) -> None:
    """Says which partitions are to have fewer copies, since no other broker is up to take one.

    CliError where they would be fewer than min.insync.replicas, unless that was asked for.
    """
    shrinking = [_Shrinking.of(client, topic, targets) for topic in topics]
    found = [each for each in shrinking if each is not None]
    if not found:
        return
    count = sum(each.partition_count for each in found)
    print(
        f"{count} partitions of {len(found)} topics have fewer copies without "
        f"{_named(args.broker_ids)}, since no other broker is up to take them: {_listed(found)}",
        file=sys.stderr,
    )
    too_few = [each for each in found if each.copies_left < each.min_insync]
    if too_few and not args.allow_under_min_isr:
        raise CliError(
            f"{_listed(too_few)}: fewer copies than min.insync.replicas, so no record would be "
            f"taken with acks=all; add a broker first, lower min.insync.replicas, or give "
            f"{UNDER_MIN_ISR}"
        )


class _Shrinking(NamedTuple):
    """A topic some of whose partitions lose a copy; `copies_left` where they have the fewest."""

    name: str
    partition_count: int
    copies: int
    copies_left: int
    min_insync: int

    def __str__(self) -> str:
        least = f", min.insync.replicas={self.min_insync}" if self.min_insync > 1 else ""
        return f"{self.name} ({self.copies} -> {self.copies_left}{least})"

    @classmethod
    def of(
        cls, client: AdminClient, topic: TopicInfo, targets: Mapping[Place, Sequence[int] | None]
    ) -> "_Shrinking | None":
        """What becomes of a topic; None where it keeps its number of copies."""
        counts = [
            (len(to), part.replication_factor)
            for part in topic.partitions
            if (to := targets.get((topic.name, part.index))) and len(to) < part.replication_factor
        ]
        if not counts:
            return None
        left, copies = min(counts)
        least = next(
            int(entry.value or 1)
            for entry in client.configs(TOPIC_RESOURCE, topic.name)
            if entry.name == "min.insync.replicas"
        )
        return cls(topic.name, len(counts), copies, left, least)


def _listed(topics: Sequence[_Shrinking]) -> str:
    return f"{', '.join(map(str, topics[:NAMED]))}{', ...' if len(topics) > NAMED else ''}"


def _named(brokers: Sequence[int]) -> str:
    return f"broker{'s' if len(brokers) > 1 else ''} {', '.join(map(str, brokers))}"


def _check_holds_nothing(brokers: Sequence[int], held: int) -> None:
    """CliError where replicas came to the brokers while others left them."""
    if held:
        raise CliError(
            f"{_named(brokers)}: {held} partitions are there again, which were created or moved "
            "there meanwhile, for instance by the removal of another broker (name them all at "
            "once); run this once more"
        )


def _may_be_stopped(topics: Sequence[TopicInfo], broker_id: int) -> str:
    """What is left to do once a broker that is up holds nothing that others can take."""
    kept = sorted(
        {
            topic.name
            for topic in topics
            for part in topic.partitions
            if topic.is_internal and broker_id in part.replicas
        }
    )
    but = f" but copies of {', '.join(kept)}, which go once it is down" if kept else ""
    return (
        f"Broker {broker_id} holds nothing any more{but}. Stop it, then run this once more: "
        "the cluster forgets brokers that are down."
    )
