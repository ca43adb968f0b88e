"""The descriptors that the system allows, shared out between files and clients."""

import contextlib
import resource

from ...core import mapped_file
from ...core.errors import HeadraceError

FEWEST_DESCRIPTORS = 128
MOST_FOR_LOGS = 128
FEWEST_FOR_LOGS = 16
# The journal, the sockets that accept, links to other brokers, and the rest of the process.
FOR_THE_REST = 64


class TooFewDescriptorsError(HeadraceError):
    """The limit of open files is below what a broker needs to open anything at all."""


def raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets this user have: logs and clients need them.

    Raises TooFewDescriptorsError where those are too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = descriptor_limit()
    if limit < FEWEST_DESCRIPTORS:
        raise TooFewDescriptorsError(
            f"`ulimit -n` allows {limit} open files; a broker needs {FEWEST_DESCRIPTORS} at least, "
            "and one more for each client"
        )


def descriptor_limit() -> int:
    """How many this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def share_descriptors(limit: int) -> int:
    """How many of `limit` are left for clients, at least 1; the logs get no more than their share.

    Logs hold twice their pool, for the moments of a sync.
    """
    is_unlimited = limit < 0
    for_logs = MOST_FOR_LOGS if is_unlimited else max(limit // 8, FEWEST_FOR_LOGS)
    mapped_file.MAX_OPEN_DESCRIPTORS = min(for_logs, MOST_FOR_LOGS)
    left = limit - 2 * mapped_file.MAX_OPEN_DESCRIPTORS - FOR_THE_REST
    return 2**31 - 1 if is_unlimited else max(left, 1)
