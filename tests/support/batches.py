"""Record batches from (key, value) pairs, for tests that do not care how they are encoded."""

from collections.abc import Sequence
from typing import Any

from headrace.core.batch_builder import BatchBuilder

Pair = tuple[bytes | None, bytes | None]

FIRST_TIMESTAMP_MS = 1_700_000_000_000


def make_batch(
    pairs: Sequence[Pair],
    *,
    first_timestamp: int = FIRST_TIMESTAMP_MS,
    **settings: Any,
) -> bytes:
    """One batch; each record is a millisecond younger.  `settings` go to the `BatchBuilder`."""
    builder = BatchBuilder(**settings)
    for index, (key, value) in enumerate(pairs):
        builder.append_record(timestamp=first_timestamp + index, key=key, value=value)
    return bytes(builder.build())
