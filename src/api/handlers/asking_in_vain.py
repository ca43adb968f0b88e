"""Clients that ask a broker who leads which cannot know: they are let go, to ask another one.

A broker that reaches no majority of its cluster hears of no election.  It names every broker
(`Broker.describe_brokers`), but a client asks again where it has a connection: librdkafka, with no
other connection open, asks that one broker for as long as it is cut off.  So the connection is
closed once a client asked in vain for a while; it looks for a broker anew then.
"""

import logging
from typing import TYPE_CHECKING, Any

from ...raft.partition_state import NO_LEADER
from .context import CloseConnectionError, RequestContext

if TYPE_CHECKING:
    from ..broker import Broker

PATIENCE_MS = 1_000


def let_go_in_vain(broker: "Broker", context: RequestContext, topics: list[dict[str, Any]]) -> None:
    """Raise CloseConnectionError where nothing that is asked for has had a leader for a while.

    Only on a broker that is cut off, and only then: whoever asks for a partition that is led here
    stays, and a tool that asks once gets its answer.
    """
    leaders = [part["leader_id"] for topic in topics for part in topic["partitions"]]
    if not leaders or any(leader != NO_LEADER for leader in leaders) or not broker.is_cut_off:
        context.in_vain_since_ms = None
        return
    now_ms = broker.clock.monotonic_ms()
    if context.in_vain_since_ms is None:
        context.in_vain_since_ms = now_ms
    elif now_ms - context.in_vain_since_ms >= PATIENCE_MS:
        raise CloseConnectionError(
            "cut off from the cluster, another broker may know who leads", level=logging.INFO
        )
