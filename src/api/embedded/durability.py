"""When an append counts as done: said by the store, or by one call.

"page-cache"           in the system's memory: survives a killed process, not a power cut
"fsync"                synced to disk before the call returns; threads share syncs
"fsync-every=100ms"    page-cache, and synced in the background that often (a store only)
"""

import re
from dataclasses import dataclass

from ...core.errors import InvalidConfigError

PAGE_CACHE = "page-cache"
FSYNC = "fsync"
_EVERY = re.compile(r"fsync-every=([1-9][0-9]{0,8})(ms|s)")


@dataclass(frozen=True, slots=True)
class Durability:
    """`is_synced`: each append waits for the disk; `flush_interval_ms`: None where none is set."""

    is_synced: bool
    flush_interval_ms: int | None = None


def parse_durability(text: str) -> Durability:
    """What a store was opened with; raises InvalidConfigError."""
    if text == PAGE_CACHE:
        return Durability(is_synced=False)
    if text == FSYNC:
        return Durability(is_synced=True)
    match = _EVERY.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidConfigError(
            "durability", text, 'it takes "page-cache", "fsync" or "fsync-every=100ms"'
        )
    return Durability(
        is_synced=False, flush_interval_ms=int(match[1]) * (1000 if match[2] == "s" else 1)
    )


def is_synced_by(call: str | None, store: Durability) -> bool:
    """Whether one call waits for the disk: as it says itself, else as the store does."""
    if call is None:
        return store.is_synced
    if call not in (PAGE_CACHE, FSYNC):
        raise InvalidConfigError("durability", call, 'one call takes "page-cache" or "fsync"')
    return call == FSYNC
