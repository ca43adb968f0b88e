"""Three brokers with one partition: Raft, controller, replicas, fetch loops and logs are the real
ones; network, clock, threads and disks are imagined.

Every message between brokers waits in a queue of its direction; what the Raft side of a broker has
applied waits until its loop takes it.  A step of the simulation lets one of these go on.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from headrace.core.batch_builder import BatchBuilder
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker
from headrace.raft.errors import NotControllerError, UnknownOutcomeError, UnknownTopicIdError
from headrace.raft.fetch_sessions import FetchSessions
from headrace.raft.group_machines import PartitionMachine
from headrace.raft.partition import Partition
from headrace.raft.partition_controller import (
    ControllerView,
    LiveBroker,
    LogReport,
    next_decision,
)
from headrace.raft.partition_state import (
    Outcome,
    PartitionCommand,
    PartitionState,
    encode_partition_command,
)
from headrace.raft.raft_group import RaftGroup
from headrace.raft.replica_fetcher import FetcherSettings, ReplicaFetchers
from headrace.raft.replication_quota import ReplicationQuota
from headrace.raft.wal_replay import GroupImage
from tests.simulation.fetching_broker import FetchingBroker
from tests.simulation.loop_messages import Message, Timer, message_of
from tests.support.manual_clock import ManualClock
from tests.support.raft_cluster import GROUP_ID, Member, RaftCluster

TOPIC_ID = b"t" * 16
PROPOSAL_TIMEOUT_S = 5.0
MAX_LAG_MS = 500
CONFIG = LogConfig(segment_bytes=2048, index_interval_bytes=256)


class PartitionRaft(RaftCluster):
    """The partition's group on every broker; what is applied is posted to the broker's loop."""

    def __init__(self, cluster: "ReplicationCluster", first_state: PartitionState, seed: int):
        self._cluster = cluster
        self._first_state = first_state
        super().__init__(len(first_state.voters), seed=seed, is_started=False)

    def make_group(
        self, member: Member, group_id: str, voters: tuple[int, ...], image: GroupImage
    ) -> Any:
        machine = PartitionMachine(0)
        if image.snapshot_index == 0:
            machine.load(self._first_state.to_bytes())
        return self.group_class(
            group_id,
            broker_id=member.broker_id,
            voters=voters,
            machine=machine,
            image=image,
            environment=member,
        )

    def note_applied(
        self,
        member: Member,
        group: RaftGroup,
        entry_index: int,
        entry_term: int,
        payload: bytes | None,
    ) -> None:
        state = cast(PartitionMachine, group.machine).state_to_post()
        self._cluster.brokers[member.broker_id].posted.append(state)


class LoopGroup:
    """A broker's loop's view of the group: a `DecidingGroup`."""

    group_id = GROUP_ID

    def __init__(self, broker: "SimulatedBroker", state: PartitionState) -> None:
        self._broker = broker
        self.state = state

    @property
    def may_lead(self) -> bool:
        return self.state.leader_session == self._broker.session

    def propose(self, command: PartitionCommand, on_done: Callable[[Any], None]) -> None:
        self._broker.propose(encode_partition_command(command), on_done)


class SimulatedBroker(FetchingBroker):
    """One broker, in one life after the other."""

    def __init__(self, cluster: "ReplicationCluster", broker_id: int) -> None:
        self.cluster, self.broker_id = cluster, broker_id
        self.incarnation = 100 * broker_id
        self.session = 0
        self.is_running = False
        self.has_lost = False  # records that others may count on, since it was in sync last
        self.posted: deque[PartitionState] = deque()
        self.has_crashed = False

    @property
    def member(self) -> Member:
        return self.cluster.raft.members[self.broker_id]

    def start(self) -> None:
        """Open the log and take the state that the Raft side was opened with."""
        cluster = self.cluster
        self.session = next(cluster.sessions)
        self.is_running = True
        self.posted.clear()
        self.log = self._open_log()
        self.group = LoopGroup(self, self.member.group.machine.state_to_post())
        self.fetchers = ReplicaFetchers(
            broker_id=self.broker_id,
            incarnation=self.incarnation,
            send_fetch=self._send_fetch,
            schedule=self._schedule,
            quota=ReplicationQuota(broker_id=self.broker_id, is_leaders=False, clock=cluster.clock),
            settings=FetcherSettings(partition_max_bytes=400, max_bytes=1000, backoff_ms=100),
        )
        self.partition = Partition(
            topic="clicks",
            index=0,
            topic_id=TOPIC_ID,
            broker_id=self.broker_id,
            group=self.group,
            incarnation_of=self._incarnation_of,
            clock=cluster.clock,
        )
        self.partition.on_role_changed = self.fetchers.role_changed
        self.server = cast(
            Any,
            SimpleNamespace(
                replicas=SimpleNamespace(partition_by_id=self._partition_by_id),
                fetch_sessions=FetchSessions(cluster.clock),
                config=SimpleNamespace(fetch_max_bytes=1 << 20),
                clock=cluster.clock,
                leader_quota=ReplicationQuota(
                    broker_id=self.broker_id, is_leaders=True, clock=cluster.clock
                ),
            ),
        )
        self.partition.take_log(self.log)
        self.partition.state_changed()

    def _open_log(self) -> Log:
        return Log.open(
            self.cluster.folder / f"broker-{self.broker_id}",
            topic="clicks",
            partition=0,
            config=self.cluster.config,
            clock=self.cluster.clock,
            worker=InlineWorker(),
            is_clean=False,
        )

    def stop(self, *, keep_bytes: float = 1.0) -> None:
        """End without a word; of what was not synced, `keep_bytes` (0 to 1) is left."""
        self.is_running = False
        self.fetchers.close()
        self.partition.stop()
        kept_from = self.log.recovery_point
        end = kept_from + int((self.log.log_end_offset - kept_from) * keep_bytes)
        self.log.close(clean=False)
        if keep_bytes < 1.0:
            log = self._open_log()
            log.truncate_to(end)
            log.close(clean=False)
            self.has_lost = True

    # -- what the partition and the fetch loops are given

    def _incarnation_of(self, broker_id: int) -> int | None:
        return self.cluster.incarnation_seen(self.broker_id, broker_id)

    def _partition_by_id(self, topic_id: bytes, index: int) -> Partition:
        if (topic_id, index) != (TOPIC_ID, 0):
            raise UnknownTopicIdError("a topic that nobody made")
        return self.partition

    def _schedule(self, delay_ms: int, call: Callable[[], None]) -> Timer:
        return self.cluster.schedule(delay_ms, self, call)

    # -- decisions

    def propose(self, payload: bytes, on_done: Callable[[Any], None]) -> None:
        """Have it decided by whoever is the group's controller; in time, or not known."""
        on_done = _once(on_done)
        late = partial(on_done, UnknownOutcomeError("no answer in time"))
        self._schedule(int(2000 * PROPOSAL_TIMEOUT_S), late)
        group = self.member.group
        if group.is_controller:
            self.decide(payload, on_done)
        elif group.leader_id is None or group.leader_id == self.broker_id:
            self._schedule(0, partial(on_done, NotControllerError("nobody is", None)))
        else:
            lost = partial(on_done, UnknownOutcomeError("the link is down"))
            self.cluster.send(
                self,
                group.leader_id,
                lambda controller: controller.decide_for(self, payload, on_done),
                lost,
            )

    def decide(self, payload: bytes, on_done: Callable[[Any], None]) -> None:
        """Propose as the controller."""
        session = self.session

        def done(result: Any) -> None:
            outcome = result if isinstance(result, BaseException) else Outcome(result[1])
            if self.is_running and self.session == session:
                self._schedule(0, partial(on_done, outcome))

        deadline_s = self.cluster.raft.now_s + PROPOSAL_TIMEOUT_S
        self.member.group.propose(payload, done, deadline_s)
        self.member.finish_turn()

    def decide_for(
        self, asker: "SimulatedBroker", payload: bytes, on_done: Callable[[Any], None]
    ) -> None:
        def reply(outcome: Any) -> None:
            lost = partial(on_done, UnknownOutcomeError("the answer was lost"))
            self.cluster.send(
                self, asker.broker_id, lambda _: on_done(outcome), None, back_to=(asker, lost)
            )

        if self.member.group.is_controller:
            self.decide(payload, reply)
        else:
            reply(NotControllerError("no longer", None))

    def control(self) -> None:
        """What the partition's controller does now and then."""
        if not self.is_running or not self.member.group.is_controller:
            return
        brokers = {
            each: self.cluster.brokers[each]
            for each in self.group.state.replicas
            if self.cluster.incarnation_seen(self.broker_id, each) is not None
        }
        view = ControllerView(
            live={
                each: LiveBroker(each, broker.incarnation, broker.session)
                for each, broker in brokers.items()
            },
            reports={
                each: LogReport(
                    broker.incarnation,
                    broker.log.latest_epoch,
                    broker.log.log_end_offset,
                    not broker.has_lost,
                )
                for each, broker in brokers.items()
                if (each, broker.incarnation) not in self.group.state.isr
            },
            min_in_sync=self.cluster.config.min_insync_replicas,
        )
        command = next_decision(self.group.state, view)
        if command is not None:
            self.decide(encode_partition_command(command), lambda outcome: None)

    def take_posted(self, after_each: Callable[[], None] = lambda: None) -> None:
        """The loop comes to what the Raft side has posted."""
        while self.posted:
            self.group.state = self.posted.popleft()
            self.partition.state_changed()
            after_each()

    def append(self, value: bytes, on_done: Callable[[BaseException | None], None]) -> None:
        """One record with acks=all."""
        builder = BatchBuilder()
        builder.append_record(timestamp=self.cluster.clock.now_ms(), key=None, value=value)
        info = self.partition.append_records(bytes(builder.build()), required_acks=-1)
        self.partition.wait_for_high_watermark(info.last_offset + 1, on_done)


class ReplicationCluster:
    """Brokers 1 to 3; all in sync, and broker 1 is to lead."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        broker_ids: tuple[int, ...] = (1, 2, 3),
        *,
        min_in_sync: int = 1,
    ) -> None:
        self.folder = folder
        self.config = replace(CONFIG, min_insync_replicas=min_in_sync)
        self.clock = ManualClock(seed=seed)
        self.sessions = count(1)
        self.brokers = {each: SimulatedBroker(self, each) for each in broker_ids}
        self.queues: dict[tuple[int, int], deque[Message]] = {
            (a, b): deque() for a in broker_ids for b in broker_ids if a != b
        }
        self._timers: list[tuple[int, int, Timer]] = []
        self._order = count()
        isr = tuple((each, broker.incarnation) for each, broker in self.brokers.items())
        first = PartitionState(
            replicas=broker_ids,
            voters=broker_ids,
            leader=broker_ids[0],
            leader_epoch=0,
            partition_epoch=1,
            isr=isr,
            leader_session=1,
        )
        self._newest_state = first
        self.raft = PartitionRaft(self, first, seed)
        for member in self.raft.members.values():
            member.start()
        self.raft.heal()
        for broker in self.brokers.values():
            broker.start()

    def close(self) -> None:
        for broker in self.brokers.values():
            if broker.is_running:
                broker.stop()

    def incarnation_seen(self, seer: int, broker_id: int) -> int | None:
        """What a broker knows of another by its link."""
        broker = self.brokers[broker_id]
        is_seen = seer == broker_id or self.raft.is_linked(seer, broker_id)
        return broker.incarnation if is_seen and broker.is_running else None

    @property
    def newest_state(self) -> PartitionState:
        """What the group has decided last, as far as any member has ever known."""
        states = [
            member.group.machine.state_to_post()
            for member in self.raft.members.values()
            if member.is_running
        ]
        states += [broker.group.state for broker in self.brokers.values()]
        newest = max([self._newest_state, *states], key=lambda state: state.partition_epoch)
        self._newest_state = newest
        return newest

    # -- network, time

    def send(
        self,
        sender: SimulatedBroker,
        to_id: int,
        deliver: Callable[[SimulatedBroker], None],
        lost: Callable[[], None] | None,
        *,
        back_to: tuple[SimulatedBroker, Callable[[], None]] | None = None,
    ) -> None:
        """Queue a message; an answer (`back_to`) is lost for who asked."""
        message = message_of(sender, deliver, lost, back_to)
        if self.raft.is_linked(sender.broker_id, to_id) and self.brokers[to_id].is_running:
            self.queues[sender.broker_id, to_id].append(message)
        else:
            message.lose()

    def deliver(self, from_id: int, to_id: int) -> None:
        message = self.queues[from_id, to_id].popleft()
        message.deliver(self.brokers[to_id])

    def unlink(self, a: int, b: int) -> None:
        self.raft.unlink(a, b)
        for pair in ((a, b), (b, a)):
            lost, self.queues[pair] = self.queues[pair], deque()
            for message in lost:
                message.lose()

    def crash(self, broker_id: int, *, keep_bytes: float) -> None:
        """End a broker without a word; its next life is another incarnation."""
        self.brokers[broker_id].stop(keep_bytes=keep_bytes)
        self.brokers[broker_id].has_crashed = True
        self._leave(broker_id)

    def stop_cleanly(self, broker_id: int) -> None:
        """End a broker as SIGTERM does: it will know what it knew, so it stays who it is."""
        self.brokers[broker_id].stop()
        self.brokers[broker_id].has_crashed = False
        self.raft.members[broker_id].checkpoint()
        self._leave(broker_id)

    def _leave(self, broker_id: int) -> None:
        self.raft.members[broker_id].crash()
        for other in self.brokers:
            if other != broker_id:
                self.unlink(broker_id, other)

    def restart(self, broker_id: int) -> None:
        """Begin the next life of a broker."""
        broker = self.brokers[broker_id]
        if broker.has_crashed:
            broker.incarnation += 1
        self.raft.restart(broker_id)
        broker.start()

    def schedule(self, delay_ms: int, broker: SimulatedBroker, call: Callable[[], None]) -> Timer:
        timer = Timer(broker, call)
        due_ms = self.clock.monotonic_ms() + delay_ms
        heapq.heappush(self._timers, (due_ms, next(self._order), timer))
        return timer

    def run_due_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.clock.monotonic_ms():
            heapq.heappop(self._timers)[2].fire()

    def pass_time(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)
        self.raft.now_s += milliseconds / 1000
        for broker_id in self.brokers:
            self.raft.tick(broker_id)


def _once(on_done: Callable[[Any], None]) -> Callable[[Any], None]:
    """Whoever comes first tells."""
    waiting = [on_done]

    def tell(outcome: Any) -> None:
        if waiting:
            waiting.pop()(outcome)

    return tell
