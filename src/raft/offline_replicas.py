"""Which replicas their brokers cannot serve, because a disk or a log failed (KIP-112, KIP-858).

    CHANNEL   FROM                      TO           FIELDS, behind tag 1
    offline   whose replicas they are   everybody    is_all, [offline], [online]: base group ids
    lost      the same                  everybody    the same, of those whose log has lost records
    full      the same                  everybody    the same, of those whose disk has no room

Who is lost is offline as well, and may lead where records may be lost and nobody else is there.
Who is full is not offline: see FullDisks.

A broker tells what changed, and with `is_all` everything to who comes.  What it told holds until it
says otherwise or begins another life, also while its link is down: a disk that failed does not mend
itself.  It needs no agreement: who is elected and cannot lead says so, and the next one is.  Loop
thread only.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from .packed_fields import pack_fields, read_bool, read_fields, read_text, tuple_of, unpack_fields
from .runtime_contract import Runtime

OFFLINE = "offline"
LOST = "lost"
FULL = "full"
ITEMS_A_MESSAGE = 500

_TAG = 1
_FIELDS = (read_bool, tuple_of(read_text), tuple_of(read_text))
_NOBODY: frozenset[int] = frozenset()


class ToldReplicas:
    """One channel.  `on_changed(base_ids)` is called for what other brokers tell."""

    def __init__(
        self, channel: str, broker_id: int, on_changed: Callable[[Sequence[str]], None]
    ) -> None:
        self.on_kept: Callable[[str], None] = lambda _base_id: None
        """Called with the partition of what stays here: see `LateNews`."""
        self._channel = channel
        self._broker_id = broker_id
        self._on_changed = on_changed
        self._runtime: Runtime | None = None
        self._brokers_of: dict[str, set[int]] = {}
        self._groups_of: dict[int, set[str]] = {}
        self._sessions: dict[int, int] = {}  # of who told something
        self._live: dict[int, int] = {}  # the sessions of who is up, as the loop heard, in order
        self._has_told = False

    def brokers_of(self, base_id: str) -> Collection[int]:
        """The brokers that said this of their copy of the partition."""
        return self._brokers_of.get(base_id, _NOBODY)

    def __bool__(self) -> bool:
        """Whether there are any at all."""
        return bool(self._brokers_of)

    def forget(self, base_ids: Iterable[str]) -> None:
        """Their topic is gone."""
        for base_id in base_ids:
            for broker_id in self._brokers_of.pop(base_id, ()):
                self._groups_of[broker_id].discard(base_id)

    # -- this broker's own

    def connect(self, runtime: Runtime) -> None:
        """There are other brokers from now on."""
        self._runtime = runtime
        runtime.on_message(self._channel, self._take)

    def note_own(self, base_ids: Iterable[str], *, is_offline: bool) -> list[str]:
        """This broker's replicas failed, or can be served again; gives those that changed."""
        own = self._groups_of.get(self._broker_id, set())
        changed = [base_id for base_id in base_ids if (base_id in own) != is_offline]
        for base_id in changed:
            self._note(self._broker_id, base_id, is_offline=is_offline)
        if changed and self._runtime is not None:
            offline, online = (changed, []) if is_offline else ([], changed)
            for broker_id in self._runtime.live_brokers():
                self._tell(broker_id, offline, online, is_all=False)
        return changed

    def peers_changed(self, peers: Mapping[int, Any], come: Iterable[int]) -> None:
        """Forget what earlier lives said; tell who came everything."""
        self._live = {broker_id: peer.session for broker_id, peer in peers.items()}
        for broker_id, session in list(self._sessions.items()):
            if self._live.get(broker_id, session) != session:
                self._drop(broker_id)
        own = sorted(self._groups_of.get(self._broker_id, ()))
        if own or self._has_told:
            for broker_id in come:
                self._tell(broker_id, own, [], is_all=True)

    def _tell(
        self, broker_id: int, offline: Sequence[str], online: Sequence[str], *, is_all: bool
    ) -> None:
        if broker_id == self._broker_id or self._runtime is None:
            return
        self._has_told = True
        for start in range(0, max(len(offline), len(online), 1), ITEMS_A_MESSAGE):
            end = start + ITEMS_A_MESSAGE
            fields = (is_all and start == 0, offline[start:end], online[start:end])
            self._runtime.send(broker_id, self._channel, pack_fields(_TAG, fields))

    # -- what others tell

    def _take(self, broker_id: int, body: bytes) -> None:
        is_all, offline, online = read_fields(_FIELDS, unpack_fields(body)[1], "offline replicas")
        # Not the session that the Raft thread knows by now: that may be the next life's.
        session = self._live.get(broker_id)
        if session is None:
            return  # it tells everything again once its link is up
        before: set[str] = set()
        if is_all or self._sessions.get(broker_id) != session:
            before = self._drop(broker_id)
        self._sessions[broker_id] = session
        for base_id in offline:
            self._note(broker_id, base_id, is_offline=True)
        for base_id in online:
            self._note(broker_id, base_id, is_offline=False)
        changed = before.symmetric_difference(offline).union(online)
        if changed:
            self._on_changed(sorted(changed))

    def _drop(self, broker_id: int) -> set[str]:
        """What that broker said counts no more; gives the partitions."""
        self._sessions.pop(broker_id, None)
        base_ids = self._groups_of.get(broker_id, set()).copy()
        for base_id in base_ids:
            self._note(broker_id, base_id, is_offline=False)
        return base_ids

    def _note(self, broker_id: int, base_id: str, *, is_offline: bool) -> None:
        brokers = self._brokers_of.setdefault(base_id, set())
        groups = self._groups_of.setdefault(broker_id, set())
        if is_offline:
            brokers.add(broker_id)
            groups.add(base_id)
            self.on_kept(base_id)
        else:
            brokers.discard(broker_id)
            groups.discard(base_id)
        if not brokers:
            del self._brokers_of[base_id]


class OfflineReplicas(ToldReplicas):
    """See the module.  `lost`: those of them whose log has lost records; `full`: no room."""

    def __init__(self, broker_id: int, on_changed: Callable[[Sequence[str]], None]) -> None:
        super().__init__(OFFLINE, broker_id, on_changed)
        self.lost = ToldReplicas(LOST, broker_id, on_changed)
        self.full = ToldReplicas(FULL, broker_id, on_changed)

    def note_full(self, base_id: str, *, is_full: bool) -> None:
        """This broker's disk has no room for a replica any more, or has again."""
        self._on_changed(self.full.note_own([base_id], is_offline=is_full))

    def forget(self, base_ids: Iterable[str]) -> None:
        """Their topic is gone."""
        ids = list(base_ids)
        super().forget(ids)
        self.lost.forget(ids)
        self.full.forget(ids)

    def connect(self, runtime: Runtime) -> None:
        """There are other brokers from now on."""
        super().connect(runtime)
        self.lost.connect(runtime)
        self.full.connect(runtime)

    def peers_changed(self, peers: Mapping[int, Any], come: Iterable[int]) -> None:
        """Forget what earlier lives said; tell who came everything, first who is lost."""
        come = list(come)
        self.lost.peers_changed(peers, come)
        self.full.peers_changed(peers, come)
        super().peers_changed(peers, come)
