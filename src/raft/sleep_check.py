"""Whether two brokers agree on which groups sleep between them; who sleeps alone is woken.

    leader  -- PING: count and hash of what it leads asleep --> follower, who differs for a while
    leader <-- ASLEEP: what sleeps under it, with terms ------- and wakes what differs on its side

A group falls asleep on one broker before the other, so only what stays different counts.  Raft
thread only.
"""

from typing import Any

from .group_host import GroupHost
from .link_messages import LinkMessage
from .message_codec import encode_frame

DIGEST_PATIENCE = 5
"""Pings in a row that must differ before two brokers compare which groups sleep."""


class SleepCheck:
    """See the module."""

    def __init__(self, broker_id: int, host: GroupHost) -> None:
        self._broker_id = broker_id
        self._host = host
        self._misses: dict[int, int] = {}  # by the broker whose pings differed, in a row

    def ping_payload(self, broker_id: int) -> bytes:
        """The frame that says what this broker leads asleep."""
        digest = self._host.digest.digest(self._broker_id, broker_id)
        return encode_frame([("", LinkMessage.PING, *digest)])

    def link_up(self, broker_id: int) -> None:
        """Count its pings anew."""
        self._misses.pop(broker_id, None)

    def receive_ping(self, broker_id: int, _: str, count: int, total: int) -> None:
        """Compare what the sender leads asleep with what sleeps here under it."""
        if self._host.digest.digest(broker_id, self._broker_id) == (count, total):
            self._misses.pop(broker_id, None)
            return
        misses = self._misses[broker_id] = self._misses.get(broker_id, 0) + 1
        if misses >= DIGEST_PATIENCE:
            del self._misses[broker_id]
            asleep = self._host.digest.asleep(broker_id, self._broker_id)
            message = ("", LinkMessage.ASLEEP, tuple(asleep.items()))
            self._host.send_message(broker_id, message)

    def receive_asleep(self, broker_id: int, _: str, sleepers: Any) -> None:
        """A follower's list differs from ours: wake, on our side, what it has otherwise."""
        theirs: dict[str, int] = dict(sleepers)
        ours = self._host.digest.asleep(self._broker_id, broker_id)
        for group_id in {*theirs, *ours}:
            opened = self._host.groups.get(group_id)
            if opened is not None and theirs.get(group_id) != ours.get(group_id):
                opened.group.peer_up(broker_id, False)
