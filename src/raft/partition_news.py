"""What brokers tell each other about partitions, outside of the partitions' groups.

    CHANNEL   FROM                       TO                        FIELDS, behind tag 1
    states    a partition's leader       brokers that do not vote  [(base group id, state)]
    reports   a replica that restarted   the voters                has_kept_cache, [report]
    stopping  who stops                  everybody                 none

A report is (base group id, incarnation, leader_epoch, log_end_offset).
All of it may be lost with a link and is told again when it comes up.  The newest state by
(generation, partition_epoch) wins: it is a cache and needs no agreement.  Loop thread only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from .packed_fields import (
    pack_fields,
    read_bool,
    read_bytes,
    read_fields,
    read_int,
    read_text,
    record_of,
    tuple_of,
    unpack_fields,
)
from .partition_controller import LogReport
from .partition_state import PartitionState
from .runtime_contract import Runtime

STATES = "states"
REPORTS = "reports"
STOPPING = "stopping"
ITEMS_A_MESSAGE = 500

_TAG = 1
_STATES = (tuple_of(record_of(read_text, read_bytes)),)
_REPORTS = (read_bool, tuple_of(record_of(read_text, read_int, read_int, read_int)))

Report = tuple[str, int, int, int]
"""(base group id, incarnation, leader_epoch, log_end_offset)"""


class PartitionNews:
    """See the module.  `on_report(base_id)`, `on_stopping(broker_id)` and, for a state of a
    partition that this broker does not vote on (any more), `on_state(base_id)` are called for news.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        on_report: Callable[[str], None],
        on_stopping: Callable[[int], None],
        on_state: Callable[[str], None] = lambda _base_id: None,
    ) -> None:
        self.stopping: dict[int, int] = {}
        """Brokers that said they stop, with the session that said so."""
        self.on_kept: Callable[[str], None] = lambda _base_id: None
        """Called with the partition of each piece of news that stays here: see `LateNews`."""
        self._runtime = runtime
        self._on_report = on_report
        self._on_stopping = on_stopping
        self._on_state = on_state
        self._told: dict[str, PartitionState] = {}
        self._reports: dict[str, dict[int, LogReport]] = {}
        self._sessions: dict[int, int] = {}  # as the loop has heard of them, in order
        runtime.on_message(STATES, self._take_states)
        runtime.on_message(REPORTS, self._take_reports)
        runtime.on_message(STOPPING, self._take_stopping)

    # -- what was told

    def told_state(self, base_id: str) -> PartitionState | None:
        """What a partition's leader said last."""
        return self._told.get(base_id)

    def reports_of(self, base_id: str) -> Mapping[int, LogReport]:
        """How far the logs of restarted replicas reach, by broker."""
        return self._reports.get(base_id, {})

    def remember(self, base_id: str, state: PartitionState) -> None:
        """Keep the last state of a group that this broker has left."""
        known = self._told.get(base_id)
        if known is None or _age(known) <= _age(state):
            self._told[base_id] = state
            self.on_kept(base_id)
            self._on_state(base_id)

    def forget(self, base_ids: Iterable[str]) -> None:
        """Their topic is gone."""
        for base_id in base_ids:
            self._told.pop(base_id, None)
            self._reports.pop(base_id, None)

    def peers_changed(self, peers: Mapping[int, Any]) -> None:
        """Who came back as another process is not stopping any more."""
        self._sessions = {broker_id: peer.session for broker_id, peer in peers.items()}
        for broker_id, session in list(self.stopping.items()):
            if self._sessions.get(broker_id) != session:
                del self.stopping[broker_id]

    # -- telling

    def tell_states(self, broker_id: int, states: Iterable[tuple[str, PartitionState]]) -> None:
        """Tell a broker that does not vote how partitions stand that are led here."""
        remaining = iter(states)
        while chunk := [(b, s.to_bytes()) for b, s in islice(remaining, ITEMS_A_MESSAGE)]:
            self._runtime.send(broker_id, STATES, pack_fields(_TAG, (chunk,)))

    def report(self, broker_id: int, reports: Sequence[Report], *, has_kept_cache: bool) -> None:
        """Tell a voter how far logs here reach, after a restart."""
        for start in range(0, len(reports), ITEMS_A_MESSAGE):
            chunk = reports[start : start + ITEMS_A_MESSAGE]
            self._runtime.send(broker_id, REPORTS, pack_fields(_TAG, (has_kept_cache, chunk)))

    def say_stopping(self, own_id: int, own_session: int) -> None:
        """Tell everybody that this broker stops: it should lead nothing."""
        self.stopping[own_id] = own_session
        for broker_id in self._runtime.live_brokers():
            if broker_id != own_id:
                self._runtime.send(broker_id, STOPPING, pack_fields(_TAG, ()))

    # -- hearing

    def _take_states(self, _broker_id: int, body: bytes) -> None:
        (states,) = read_fields(_STATES, unpack_fields(body)[1], "partition states")
        for base_id, data in states:
            self.remember(base_id, PartitionState.from_bytes(data))

    def _take_reports(self, broker_id: int, body: bytes) -> None:
        has_kept_cache, reports = read_fields(_REPORTS, unpack_fields(body)[1], "log reports")
        for base_id, incarnation, epoch, end_offset in reports:
            told = LogReport(incarnation, epoch, end_offset, has_kept_cache)
            self._reports.setdefault(base_id, {})[broker_id] = told
            self.on_kept(base_id)
            self._on_report(base_id)

    def _take_stopping(self, broker_id: int, _body: bytes) -> None:
        # Not the session that the Raft thread knows by now: that may be the next life's.
        session = self._sessions.get(broker_id)
        if session is not None:
            self.stopping[broker_id] = session
            self._on_stopping(broker_id)


def _age(state: PartitionState) -> tuple[int, int]:
    return state.generation, state.partition_epoch
