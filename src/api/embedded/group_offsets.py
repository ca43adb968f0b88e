"""Where a consumer group goes on, read and committed by the program that owns the logs."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..coordinator.offset_store import CommittedOffset
from .errors import ArgumentTypeError
from .inputs import as_text, as_whole
from .node import Node

if TYPE_CHECKING:
    from ..coordinator.errors import GroupError
    from ..coordinator.offset_store import TopicPartition as Key


def committed_offsets(node: Node, group: str) -> dict["Key", int]:
    """(topic, partition) -> the offset to go on at; empty for a group that is not there."""
    as_text(group, "group")
    groups = node.groups()
    found = node.run(lambda: dict(groups.fetch_offsets(group)))
    return {key: committed.offset for key, committed in found.items()}


def commit_offsets(node: Node, group: str, offsets: Mapping["Key", int]) -> None:
    """Store offsets as a consumer without membership does; returns when they are stored.

    Raises UnknownMemberIdError while consumers of that group are connected to a broker, and what
    kept the offsets from being stored.
    """
    as_text(group, "group")
    checked = {_checked_key(key): as_whole(at, "offsets") for key, at in offsets.items()}
    groups = node.groups()
    stored = threading.Event()
    errors: dict[Key, GroupError] = {}

    def on_committed(failed: "Mapping[Key, GroupError]") -> None:
        errors.update(failed)
        stored.set()

    def commit() -> None:
        now_ms = node.clock.now_ms()
        groups.commit_offsets(
            group,
            member_id="",
            group_instance_id=None,
            generation_id=-1,
            offsets={
                key: CommittedOffset(offset=offset, commit_timestamp_ms=now_ms)
                for key, offset in checked.items()
            },
            on_committed=on_committed,
        )

    node.run(commit)
    stored.wait()
    for error in errors.values():
        raise error


def _checked_key(key: "Key") -> "Key":
    if not isinstance(key, tuple) or len(key) != 2:
        raise ArgumentTypeError("offsets", key, "its keys must be (topic, partition)")
    return as_text(key[0], "offsets"), as_whole(key[1], "offsets")
