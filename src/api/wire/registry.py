"""Which messages are declared, by API key and by the name of a stored record."""

from . import stored_cluster, stored_groups
from .messages import (
    api_versions,
    cluster,
    configs,
    fetch,
    group_offsets,
    groups,
    list_offsets,
    log_dirs,
    metadata,
    offset_for_leader_epoch,
    produce,
    producers,
    reassignments,
    records,
    topics,
)
from .schema import MAX_VERSION, Message

FAMILIES = (
    api_versions,
    cluster,
    configs,
    fetch,
    group_offsets,
    groups,
    list_offsets,
    log_dirs,
    metadata,
    offset_for_leader_epoch,
    produce,
    producers,
    reassignments,
    records,
    topics,
)
STORED_FAMILIES = (stored_cluster, stored_groups)


def _by_api_key(suffix: str) -> dict[int, Message]:
    """The messages whose names end in `suffix`."""
    messages = [m for family in FAMILIES for m in family.MESSAGES if m.name.endswith(suffix)]
    table = {message.api_key: message for message in messages}
    assert len(table) == len(messages), "two messages share an API key"
    return table


REQUESTS = _by_api_key("Request")
RESPONSES = _by_api_key("Response")
STORED = {message.name: message for family in STORED_FAMILIES for message in family.MESSAGES}


def schema_versions(api_key: int) -> tuple[int, int]:
    """The lowest and highest version declared for `api_key`; KeyError where there is none.

    What the broker advertises stands in `handlers/routes.py` and may be narrower or start lower.
    """
    versions = REQUESTS[api_key].versions
    return versions.low, versions.high


def first_flexible_version(api_key: int) -> int:
    """The first version whose headers carry a tag buffer; beyond all versions if there is none."""
    flexible = REQUESTS[api_key].flexible
    return flexible.low if flexible.low <= flexible.high else MAX_VERSION + 1
