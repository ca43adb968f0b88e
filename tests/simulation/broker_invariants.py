"""What must hold of whole brokers and their topics after every event, by name.

    SingleLeaderPerEpoch         no leader epoch of a partition has two leaders
    MonotonicHighWatermark       a leader's high watermark never goes back
    LogsMatchByEpoch             two logs with a record of one epoch at one offset agree below it
    LogsMatchBelowHighWatermark  a replica's log holds what is committed, up to its high watermark
    IsrMembersHoldCommitted      the log of whoever is in sync reaches as far as what is committed
    ElrMembersHoldCommitted      the log of an eligible leader replica has all that is committed
    CommittedRecordsSurvive      a new leader has every committed record
    StateMachineSafety           a partition epoch names the same state everywhere
    ElectedFromIsr               who is elected was in isr or elr, but where the topic allows any
                                 replica
    AcknowledgedIsSynced         flush.messages=1: what is acknowledged is on the disks of the isr
    NobodyComesBackDeposed       who was cut off leads on in no epoch that was over by then
    NothingLeavesUnsynced        a broker whose write-ahead log failed sends nothing more

After an unclean election the committed records are those that the new leader has, and only logs
which have records of that epoch, or a later one, must hold them.
"""

from typing import Any

from headrace.raft.leader_contact import is_cut_off
from headrace.raft.partition import Partition
from headrace.raft.partition_state import Elect, ElectKind, PartitionState
from tests.simulation.invariant_broken import InvariantBrokenError
from tests.simulation.replication_invariants import Record, records_of
from tests.simulation.whole_cluster import TOPIC_IDS, UNCLEAN, WholeBroker, WholeCluster


class TopicInvariants:
    """Remembers what was committed and decided of one topic's only partition."""

    def __init__(self, cluster: WholeCluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self.newest = PartitionState()
        self.committed: list[Record] = []
        self.unclean_epoch = 0
        self.unclean_elections = 0
        self.elr_elections = 0
        self.elr_states = 0
        self._is_cut_due = False
        self._states: dict[int, PartitionState] = {}
        self._leaders: dict[int, int] = {}
        self._high_watermarks: dict[tuple[int, int], int] = {}
        self._seen: dict[tuple[int, int], tuple[bytes, int]] = {}
        self._read: dict[int, tuple[int, int]] = {}
        self._matched: dict[int, tuple[int, int]] = {}
        self._unchanged: dict[int, tuple[object, ...]] = {}
        self._survived: tuple[int, ...] = ()
        self._held: dict[int, tuple[int, ...]] = {}
        self._over_when_cut_off: dict[int, int] = {}

    def fail(self, name: str, facts: str) -> None:
        raise InvariantBrokenError(name, f"topic {self._topic}: {facts}")

    # -- decisions

    def note_state(self, state: PartitionState) -> None:
        """A broker has it."""
        known = self._states.setdefault(state.partition_epoch, state)
        if known != state:
            self.fail("StateMachineSafety", f"{state} and {known}")
        if state.partition_epoch > self.newest.partition_epoch or not self.newest.replicas:
            self.newest = state

    def note_decision(self, command: Any, state: PartitionState) -> None:
        """A group has applied a command, perhaps without effect."""
        before = self._states.get(state.partition_epoch - 1)
        is_new = state.partition_epoch not in self._states
        self.note_state(state)
        is_effective = command.expected_partition_epoch == state.partition_epoch - 1
        self.elr_states += is_new and bool(state.elr)
        if isinstance(command, Elect) and is_new and is_effective and before is not None:
            self._check_election(command, before, state)

    def _check_election(
        self, command: Elect, before: PartitionState, after: PartitionState
    ) -> None:
        in_sync = {broker_id for broker_id, _ in before.holders}
        if command.kind == ElectKind.UNCLEAN and self._topic == UNCLEAN:
            self.unclean_epoch = after.leader_epoch
            self.unclean_elections += 1
            self._is_cut_due = True
        elif after.leader not in in_sync or command.kind == ElectKind.UNCLEAN:
            self.fail("ElectedFromIsr", f"broker {after.leader} of {sorted(in_sync)}: {command}")
        elif all(broker_id != after.leader for broker_id, _ in before.isr):
            self.elr_elections += 1

    # -- after every event

    def check(self) -> None:
        replicas = self._cluster.replicas_of(self._topic)
        for broker, partition in replicas:
            self._check_return(broker, partition)
            if partition.is_leader:
                self._check_leader(broker, partition)
        for broker, partition in replicas:
            if partition.log is not None:
                self._check_log(broker, partition)
        self._isr_members_hold_committed(replicas)
        self._elr_members_hold_committed(replicas)
        self._committed_records_survive(replicas)

    def _check_return(self, broker: WholeBroker, partition: Partition) -> None:
        state, epoch = partition.group.state, partition.leader_epoch
        if partition.is_leader:
            newest = self._over_when_cut_off.pop(broker.session, epoch)
            if epoch < newest:
                self.fail(
                    "NobodyComesBackDeposed",
                    f"broker {broker.broker_id} leads in epoch {epoch}; when it was cut off, "
                    f"{newest} had begun",
                )
        elif state.leader == broker.broker_id:
            reachable = broker.replicas.seats.contact.reachable
            if is_cut_off(state, reachable):
                self._over_when_cut_off[broker.session] = self.newest.leader_epoch

    def _check_leader(self, broker: WholeBroker, partition: Partition) -> None:
        epoch, high_watermark = partition.leader_epoch, partition.high_watermark
        first = self._leaders.setdefault(epoch, broker.broker_id)
        if first != broker.broker_id:
            self.fail(
                "SingleLeaderPerEpoch", f"brokers {first} and {broker.broker_id} lead epoch {epoch}"
            )
        before = self._high_watermarks.get((broker.session, epoch), 0)
        if high_watermark < before:
            self.fail("MonotonicHighWatermark", f"{before} -> {high_watermark} in epoch {epoch}")
        self._high_watermarks[broker.session, epoch] = high_watermark
        if epoch < self.unclean_epoch:
            return  # what it commits may be lost: its topic allows it
        if self._is_cut_due:
            self._is_cut_due = False
            self._cut_committed(partition)
        known = len(self.committed)
        if high_watermark > known:
            self.committed += records_of(partition.log, known, high_watermark)

    def _cut_committed(self, partition: Partition) -> None:
        """An unclean leader begins: what it has of the committed records stays committed."""
        log: Any = partition.log
        held = records_of(log, 0, min(log.log_end_offset, len(self.committed)))
        same = 0
        while same < len(held) and held[same] == self.committed[same]:
            same += 1
        del self.committed[same:]
        self._matched.clear()

    def _check_log(self, broker: WholeBroker, partition: Partition) -> None:
        log: Any = partition.log
        end = log.log_end_offset
        # Most events touch no log, or one of them.
        committed = (len(self.committed), self.unclean_epoch, self._is_cut_due)
        look = (broker.session, end, log.latest_epoch, partition.high_watermark, *committed)
        if self._unchanged.get(id(log)) == look:
            return
        self._cluster.syncs.note_end(log)
        start, epoch = self._read.get(id(log), (0, -1))
        if end < start or (start and log.epoch_at(start - 1) != epoch):
            start, epoch = 0, -1
            self._matched.pop(id(log), None)
        if end > start:
            for offset, (of_record, value) in enumerate(records_of(log, start, end), start):
                fact = (value, epoch)
                if self._seen.setdefault((of_record, offset), fact) != fact:
                    self.fail(
                        "LogsMatchByEpoch",
                        f"broker {broker.broker_id} has {fact} at {offset} in epoch {of_record}",
                    )
                epoch = of_record
        self._read[id(log)] = end, epoch
        if not self._is_cut_due and log.latest_epoch >= self.unclean_epoch:
            self._matches_committed(broker, partition, log)
        self._unchanged[id(log)] = look

    def _matches_committed(self, broker: WholeBroker, partition: Partition, log: Any) -> None:
        mark = partition.high_watermark
        start, _ = self._matched.get(id(log), (0, 0))
        if mark > len(self.committed):
            self.fail(
                "LogsMatchBelowHighWatermark",
                f"broker {broker.broker_id} has {mark}, committed are {len(self.committed)}",
            )
        if mark > start and records_of(log, start, mark) != self.committed[start:mark]:
            self.fail(
                "LogsMatchBelowHighWatermark", f"broker {broker.broker_id} differs below {mark}"
            )
        self._matched[id(log)] = max(mark, start), 0

    def _isr_members_hold_committed(self, replicas: list[tuple[WholeBroker, Partition]]) -> None:
        if self._is_cut_due:
            return
        for broker, partition in replicas:
            is_member = (broker.broker_id, broker.incarnation) in self.newest.isr
            log = partition.log
            if is_member and log is not None and log.log_end_offset < len(self.committed):
                self.fail(
                    "IsrMembersHoldCommitted",
                    f"broker {broker.broker_id} ends at {log.log_end_offset}, committed are "
                    f"{len(self.committed)}: {self.newest}",
                )

    def _elr_members_hold_committed(self, replicas: list[tuple[WholeBroker, Partition]]) -> None:
        """Each could lead at once."""
        known = len(self.committed)
        for broker, partition in replicas:
            is_member = (broker.broker_id, broker.incarnation) in self.newest.elr
            log: Any = partition.log
            if self._is_cut_due or not is_member or log is None:
                continue
            seen = (broker.session, log.latest_epoch, log.log_end_offset, known)
            if seen == self._held.get(broker.broker_id):
                continue
            if not self._holds_committed(log, known):
                self.fail(
                    "ElrMembersHoldCommitted",
                    f"broker {broker.broker_id} ends at {log.log_end_offset} and lacks some of "
                    f"{known}: {self.newest}",
                )
            self._held[broker.broker_id] = seen

    def _committed_records_survive(self, replicas: list[tuple[WholeBroker, Partition]]) -> None:
        known = len(self.committed)
        for broker, partition in replicas:
            if not partition.is_leader or partition.leader_epoch != self.newest.leader_epoch:
                continue
            log: Any = partition.log
            seen = (broker.session, partition.leader_epoch, log.log_end_offset, known)
            if seen == self._survived:
                continue  # nobody cuts the log of a leader
            if not self._holds_committed(log, known):
                self.fail(
                    "CommittedRecordsSurvive",
                    f"leader {broker.broker_id} of epoch {partition.leader_epoch} lacks some of "
                    f"{known}",
                )
            self._survived = seen

    def _holds_committed(self, log: Any, known: int) -> bool:
        """The last few records tell a log that parted from the others'."""
        first = max(0, known - 5)
        if log.log_end_offset < known:
            return False
        return bool(records_of(log, first, known) == self.committed[first:])

    # -- acknowledgements, and the end

    def acknowledged(self, leader: WholeBroker, leader_epoch: int, offset: int) -> None:
        """A record was acknowledged at this moment."""
        if not self._cluster.flushes or leader_epoch < self.unclean_epoch:
            return
        for broker, partition in self._cluster.replicas_of(self._topic):
            is_member = (broker.broker_id, broker.incarnation) in self.newest.isr
            if not is_member and broker is not leader:
                continue
            synced = self._cluster.syncs.synced_end(partition.log) if partition.log else offset + 1
            if synced <= offset:
                self.fail(
                    "AcknowledgedIsSynced",
                    f"{offset} is acknowledged, broker {broker.broker_id} has synced {synced}",
                )

    def check_at_the_end(self, acknowledged: list[bytes], *, may_lose: bool) -> None:
        """All is healed: the logs are one, and hold each record that was acknowledged once."""
        logs = [
            records_of(partition.log, 0, partition.log_end_offset)
            for _, partition in self._cluster.replicas_of(self._topic)
        ]
        if any(log != logs[0] for log in logs):
            self.fail("LogsMatchBelowHighWatermark", f"at the end: {[len(log) for log in logs]}")
        values = [value for _, value in logs[0]]
        twice = [value for value in acknowledged if values.count(value) > 1]
        lost = [] if may_lose else [v for v in acknowledged if v not in values]
        if lost or twice:
            self.fail("CommittedRecordsSurvive", f"acknowledged: gone {lost}, twice {twice}")


class BrokerInvariants:
    """Those of both topics."""

    def __init__(self, cluster: WholeCluster) -> None:
        self._cluster = cluster
        self.of_topic = {name: TopicInvariants(cluster, name) for name in TOPIC_IDS}
        cluster.on_decision = lambda topic, *decision: self.of_topic[topic].note_decision(*decision)
        for name, topic in self.of_topic.items():
            for broker, _ in cluster.replicas_of(name):
                seat = broker.replicas.seats.seat_of(TOPIC_IDS[name], 0)
                assert seat is not None, name
                topic.note_state(seat.group.state)

    def check(self) -> None:
        """Raise InvariantBrokenError where one does not hold."""
        if self._cluster.violation is not None:
            raise self._cluster.violation
        for topic in self.of_topic.values():
            topic.check()
