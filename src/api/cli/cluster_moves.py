"""Where replicas are to go, and watching them go there."""

import argparse
import select
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from .admin_client import AdminClient, TopicInfo
from .cluster_admin import Place, raise_refusals, reassign
from .common import EXIT_OK, EXIT_USAGE, CliError, print_json
from .move_watch import MoveWatch
from .replica_log_dirs import ANY_LOG_DIR, Replica, find_log_dirs, start_moves

_LOOK_EVERY_S = 0.25
_TOLD_WITHIN_S = 2.0
_NAMED = 5


def check_brokers(text: str, brokers: Sequence[int]) -> list[int]:
    """`1,2,3` as ids of brokers that are there; CliError otherwise."""
    try:
        replicas = [int(part) for part in text.split(",")]
    except ValueError:
        raise CliError(f"--to {text}: give broker ids, as in 1,2,3", EXIT_USAGE) from None
    unknown = [broker for broker in replicas if broker not in brokers]
    if unknown or len(set(replicas)) < len(replicas):
        raise CliError(f"--to {text}: each a different one of {list(brokers)}", EXIT_USAGE)
    return replicas


def check_log_dirs(
    text: str, places: Sequence[Place], brokers: Sequence[int]
) -> dict[Replica, str]:
    """`/disk/one,any` as the folder of each replica on those brokers; CliError otherwise."""
    paths = text.split(",")
    if len(paths) != len(brokers):
        raise CliError(f"--log-dirs {text}: one for each broker of --to, or `any`", EXIT_USAGE)
    return {
        Replica(*place, broker): path
        for place in places
        for broker, path in zip(brokers, paths, strict=True)
        if path != ANY_LOG_DIR
    }


def move_to_log_dirs(
    client: AdminClient, wanted: Mapping[Replica, str], *, must_wait: bool
) -> None:
    """Has brokers keep these replicas in those folders, if it must until they are there."""
    pending = start_moves(
        client, wanted, timeout_s=client.timeout_s, on_started=lambda _replica, _path: None
    )
    if pending:
        raise CliError(f"not on their brokers yet: {', '.join(map(str, pending))}")
    while must_wait and any(at.future for at in find_log_dirs(client, wanted).values()):
        select.select([], [], [], _LOOK_EVERY_S)


Racks = Mapping[int, str | None]
"""Broker id -> its broker.rack."""


def spread_replicas(
    chosen: Sequence[tuple[TopicInfo, int]],
    brokers: Sequence[int],
    count: int,
    racks: Racks,
    down: Collection[int] = (),
) -> Iterator[tuple[Place, list[int]]]:
    """`count` replicas a partition: those it has, as far as they go, and the least loaded.

    New ones stand in other racks as far as there are any, and last on brokers that are `down`.
    """
    if not 1 <= count <= len(brokers):
        raise CliError(
            f"--replication-factor {count}: these brokers can hold 1 to {len(brokers)} copies",
            EXIT_USAGE,
        )
    load = dict.fromkeys(brokers, 0)
    for topic, index in chosen:
        present = [each for each in topic.partitions[index].replicas if each in load]
        replicas = present[:count]
        for broker in replicas:
            load[broker] += 1
        while len(replicas) < count:
            spare = [broker for broker in brokers if broker not in replicas]
            up = [broker for broker in spare if broker not in down]
            replicas.append(_best_of(up or spare, replicas, racks, load))
            load[replicas[-1]] += 1
        yield (topic.name, index), replicas


def _best_of(
    spare: Sequence[int], replicas: Sequence[int], racks: Racks, load: Mapping[int, int]
) -> int:
    """Whoever stands in no rack of `replicas`, and of these the least loaded."""
    used = {racks.get(broker) for broker in replicas} - {None}
    return min(spare, key=lambda broker: (racks.get(broker) in used, load[broker], broker))


def targets_without(
    topics: Sequence[TopicInfo],
    removed: Collection[int],
    usable: Sequence[int],
    *,
    racks: Racks,
    up: Collection[int] = (),
) -> Iterator[tuple[Place, list[int]]]:
    """Each partition that `removed` ones hold, with others in their place as far as there are any.

    Who leaves it already goes; where it moves otherwise it goes, but to none of `removed`.  Copies
    of internal topics that no other broker can take stay with those that are `up`: the cluster
    would bring them back.
    """
    load = dict.fromkeys(usable, 0)
    for topic in topics:
        for part in topic.partitions:
            for broker in part.replicas:
                if broker in load:
                    load[broker] += 1
    for topic in topics:
        for part in topic.partitions:
            leaving = [broker for broker in part.replicas if broker in removed]
            if not leaving:
                continue
            spare = [broker for broker in usable if broker not in part.replicas]
            kept = up if topic.is_internal and len(spare) < len(leaving) else ()
            replicas = _replaced(part.target, removed, spare, kept, racks, load)
            if not replicas:
                raise CliError(
                    f"{topic.name}-{part.index} is held by broker {_ids(part.target)} alone, and "
                    "no other broker is there to take it"
                )
            if any(broker not in replicas for broker in leaving):
                yield (topic.name, part.index), replicas


def _replaced(
    target: Sequence[int],
    removed: Collection[int],
    spare: list[int],
    kept: Collection[int],
    racks: Racks,
    load: dict[int, int],
) -> list[int]:
    """`target` with spare brokers in the place of `removed` ones, as far as there are any."""
    replicas = list(target)
    for leaving in [broker for broker in target if broker in removed]:
        place = replicas.index(leaving)
        others = [broker for broker in replicas if broker != leaving]
        if spare:
            chosen = _best_of(spare, others, racks, load)
            spare.remove(chosen)
            load[chosen] += 1
            replicas[place] = chosen
        elif leaving not in kept:
            replicas = others
    return replicas


def check_arrived(client: AdminClient, targets: Mapping[Place, Sequence[int] | None]) -> None:
    """CliError where a partition that moves no more is not where it was sent.

    Another reassignment that comes meanwhile replaces this one; no broker says so.
    """
    wanted = {place: tuple(to) for place, to in targets.items() if to is not None}
    started = time.monotonic()
    while elsewhere := _not_as_wanted(client, wanted):
        # Whoever is asked may hear of the last step a moment after the controller.
        if time.monotonic() - started > _TOLD_WITHIN_S:
            raise CliError(
                f"{len(elsewhere)} of {len(wanted)} partitions were moved or called off by "
                f"another reassignment meanwhile: {'; '.join(elsewhere[:_NAMED])}"
                f"{'; ...' if len(elsewhere) > _NAMED else ''}"
            )
        select.select([], [], [], _LOOK_EVERY_S)


def _not_as_wanted(client: AdminClient, wanted: Mapping[Place, tuple[int, ...]]) -> list[str]:
    held = {
        (topic.name, part.index): part.replicas
        for topic in client.topics({topic for topic, _ in wanted})
        for part in topic.partitions
    }
    return [
        f"{topic}-{index} is on {_ids(held.get((topic, index), ()))}, not on {_ids(to)}"
        for (topic, index), to in wanted.items()
        if held.get((topic, index)) != to
    ]


def _ids(brokers: Sequence[int]) -> str:
    return ",".join(map(str, brokers)) or "no broker"


def carry_out(
    client: AdminClient,
    args: argparse.Namespace,
    targets: dict[Place, Sequence[int] | None],
    log_dirs: dict[Replica, str],
) -> int:
    """Has partitions moved as a command says, waits for it if it does, and tells what became."""
    raise_refusals(reassign(client, targets))
    move_to_log_dirs(client, log_dirs, must_wait=not args.no_wait)
    if not args.no_wait:
        throttle = getattr(args, "throttle", None)
        MoveWatch(client, list(targets), is_silent=args.json, throttle=throttle).wait()
        if args.verb == "reassign":
            check_arrived(client, targets)
    if args.json:
        rows = [
            {"topic": topic, "partition": index, "replicas": replicas}
            for (topic, index), replicas in targets.items()
        ]
        print_json({"reassigned": rows, "is_complete": not args.no_wait})
    else:
        print(f"{len(targets)} partitions {_became(targets, is_done=not args.no_wait)}.")
    return EXIT_OK


def _became(targets: Mapping[Place, object], *, is_done: bool) -> str:
    if None in targets.values():
        return "are back where they were" if is_done else "go back to where they were"
    return "moved" if is_done else "are on the move"
