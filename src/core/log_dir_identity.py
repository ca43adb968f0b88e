"""Several `log.dirs` of one node agree on whose they are, before any log is opened."""

from collections.abc import Sequence
from dataclasses import replace

from .checkpoint_file import write_partition_metadata
from .clock import Clock
from .errors import InconsistentLogDirError
from .kafka_uuid import ZERO_UUID, random_uuid, uuid_to_text
from .log import Log
from .log_dir import LogDir, MetaProperties


def agree_on_identity(
    log_dirs: Sequence[LogDir],
    *,
    cluster_id: str | None,
    node_id: int,
    clock: Clock,
    waits: bool = False,
) -> str:
    """The cluster's id, after every folder carries it, `node_id` and an id of its own.

    `cluster_id` None takes what the folders say, or makes a new one where they are all new; with
    `waits` those stay as they are, and "" is given; so is it where they are only formatted.
    Raises InconsistentLogDirError where a folder belongs to another cluster or node.
    """
    found = {log_dir: log_dir.read_meta() for log_dir in log_dirs}
    agreed = cluster_id
    named_by = "the given cluster id"
    for log_dir, meta in found.items():
        if meta is None:
            continue
        if meta.node_id != node_id:
            raise InconsistentLogDirError(
                f"{log_dir.path} belongs to node.id={meta.node_id}, this node is {node_id}; "
                "set node.id to that, or choose another folder"
            )
        if agreed is None:
            agreed, named_by = meta.cluster_id, str(log_dir.path)
        elif meta.cluster_id != agreed:
            raise InconsistentLogDirError(
                f"{log_dir.path} belongs to cluster.id={meta.cluster_id}, but {named_by} says "
                f"{agreed}; one node cannot serve two clusters"
            )
    is_new = all(meta is None or meta.is_only_formatted for meta in found.values())
    if is_new and waits:
        return ""
    if agreed is None:
        agreed = uuid_to_text(random_uuid(clock))
    used: set[str] = set()
    for log_dir, meta in found.items():
        _complete_meta(log_dir, meta or MetaProperties(agreed, node_id), used, clock)
    return agreed


def agree_on_topic_id(log: Log, topic_id: bytes) -> None:
    """Have the log carry its topic's id; raises InconsistentLogDirError where it has another."""
    if topic_id in (ZERO_UUID, log.topic_id):
        return
    if log.topic_id != ZERO_UUID:
        raise InconsistentLogDirError(
            f"{log.path} holds the topic id {uuid_to_text(log.topic_id)}, but {log.topic} has "
            f"{uuid_to_text(topic_id)}; move the folder away to start it anew"
        )
    write_partition_metadata(log.path, topic_id)
    log.topic_id = topic_id


def _complete_meta(log_dir: LogDir, meta: MetaProperties, used: set[str], clock: Clock) -> None:
    """Give the folder the id that it lacks."""
    if meta.directory_id in used:
        raise InconsistentLogDirError(
            f"{log_dir.path} has the directory.id={meta.directory_id} of another folder in "
            "log.dirs; one was copied from the other: remove one of them"
        )
    if not meta.directory_id or meta.is_only_formatted:
        directory_id = meta.directory_id or uuid_to_text(random_uuid(clock))
        meta = replace(meta, directory_id=directory_id, is_only_formatted=False)
        log_dir.write_meta(meta)
    log_dir.directory_id = meta.directory_id
    used.add(meta.directory_id)
