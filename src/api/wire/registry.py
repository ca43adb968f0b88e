"""Which messages are declared, by API key and by the name of a stored record."""

from .messages import api_versions, fetch, list_offsets, metadata, produce
from .schema import Message

FAMILIES = (api_versions, fetch, list_offsets, metadata, produce)

REQUESTS: dict[int, Message] = {}
RESPONSES: dict[int, Message] = {}
STORED: dict[str, Message] = {}

for _family in FAMILIES:
    for _message in _family.MESSAGES:
        _table = REQUESTS if _message.name.endswith("Request") else RESPONSES
        assert _message.api_key not in _table, _message
        _table[_message.api_key] = _message


def schema_versions(api_key: int) -> tuple[int, int]:
    """The lowest and highest version declared for `api_key`; KeyError where there is none.

    What the broker advertises stands in `handlers/routes.py` and may be narrower or start lower.
    """
    versions = REQUESTS[api_key].versions
    return versions.low, versions.high


def first_flexible_version(api_key: int) -> int:
    """The first version whose headers carry a tag buffer; beyond all versions if there is none."""
    flexible = REQUESTS[api_key].flexible
    return flexible.low if flexible.low <= flexible.high else flexible.low + 32767
