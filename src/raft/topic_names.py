"""Which names a topic may have, as Kafka decides it."""

import re

from .errors import InvalidTopicError

MAX_TOPIC_NAME_LENGTH = 249
"""A folder is `<topic>-<partition>` and file systems allow 255 characters."""

CLUSTER_METADATA_TOPIC = "__cluster_metadata"
"""No topic here, but what Kafka's tools call the cluster's own group."""

INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+")


def validate_topic_name(name: str) -> None:
    """Raise InvalidTopicError unless `name` may name a topic."""
    if not name:
        raise InvalidTopicError("a topic name must not be empty")
    if name in (".", ".."):
        raise InvalidTopicError(f"a topic must not be named {name!r}")
    if len(name) > MAX_TOPIC_NAME_LENGTH:
        raise InvalidTopicError(
            f"the topic name has {len(name)} characters; {MAX_TOPIC_NAME_LENGTH} are allowed"
        )
    if not _LEGAL_NAME.fullmatch(name):
        raise InvalidTopicError(
            f"topic name {name!r} holds a character that is none of a-z A-Z 0-9 . _ -"
        )


def collision_key(name: str) -> str:
    """What two names must not share: '.' and '_' look the same in Kafka's metric names."""
    return name.replace(".", "_")


def is_internal_topic(name: str) -> bool:
    """Whether the broker itself keeps its state in a topic of this name."""
    return name in INTERNAL_TOPICS
