"""Says what a consumer of a group waits for while it has been given no partition.

The client says nothing while it looks for the group's coordinator, for as long as it takes.
"""

import argparse
import sys
import time
from typing import Any

from ...core.errors import HeadraceError
from .admin_client import AdminClient, AdminError

PATIENCE_S = 3.0
"""As long as it takes to join an empty group: group.initial.rebalance.delay.ms is 3 s in Kafka."""
ASK_S = 3.0


class GroupWait:
    """Looked at whenever no record came for a moment; each reason is said once."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._look_at = time.monotonic() + 2 * PATIENCE_S
        self._said = ""

    def look(self, consumer: Any) -> None:
        """Say on stderr what is waited for, if it takes long and is not what was said before."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + PATIENCE_S
        reason = "" if consumer.assignment() else self._reason()
        if reason and reason != self._said:
            print(f"headrace: group {self._args.group}: {reason}", file=sys.stderr, flush=True)
        self._said = reason

    def _reason(self) -> str:
        try:
            with AdminClient(self._args.bootstrap_server, timeout_s=ASK_S) as client:
                broker, _ = client.find_coordinator(self._args.group)
        except AdminError as error:
            return f"waiting for its coordinator: {error.message} ({error.code.name})"
        except HeadraceError as error:
            return f"waiting for its coordinator: {error}"
        return f"waiting for broker {broker}, its coordinator, to give out partitions"
