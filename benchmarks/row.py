"""What a row of the side-by-side table is: a load on a running peer, and the figures it gives.

A figure is (value, unit, "more" or "less").  CPU figures are the brokers' own seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .peers.peer import Peer, RunningPeer

Figure = tuple[float, str, str]
Figures = dict[str, Figure]
# (peer, turn, scale) -> figures
Measure = Callable[[RunningPeer, int, str], Figures]

KAFKA_ONLY = frozenset({"kafka"})
ANY_PROTOCOL = frozenset({"kafka", "redis", "nats"})
NO_BROKER = frozenset({"embedded"})

MESSAGES = {"smoke": 20_000, "quick": 1_000_000, "full": 5_000_000}
BIG_MESSAGES = {"smoke": 5_000, "quick": 400_000, "full": 1_500_000}


@dataclass(frozen=True)
class Row:
    """A load and who can play it: brokers of these protocols, alone or in a cluster of that size.

    `full_s` is about how long a turn of a target takes at full size.  A peer named in `without`
    cannot play it for a reason of its own.  A row that `ends_brokers` gets new ones for every turn;
    one that `needs_first_turn` reads what that wrote.
    """

    measure: Measure
    full_s: float
    protocols: frozenset[str] = KAFKA_ONLY
    brokers: int = 1
    without: frozenset[str] = frozenset()
    ends_brokers: bool = False
    needs_first_turn: bool = False

    def is_for(self, peer: Peer) -> bool:
        return (
            peer.protocol in self.protocols
            and peer.brokers == self.brokers
            and peer.name not in self.without
        )
