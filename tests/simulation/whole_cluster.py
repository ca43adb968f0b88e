"""Four whole brokers with a clean and an unclean topic, and what carries messages between them.

Who asks for a cluster's decisions gets them in one order that all brokers take in, each in its own
time; that this order survives everything is shown elsewhere (`raft_simulation.py`).
"""

import contextlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from headrace.core.log import Log
from headrace.core.worker import InlineWorker
from headrace.raft.cluster_commands import Command, CreateTopic
from headrace.raft.partition import Partition
from headrace.raft.partition_group import PartitionGroup, parse_partition_group_id
from tests.simulation.faulty_syncs import FaultySyncs
from tests.simulation.imagined_links import Wires
from tests.simulation.invariant_broken import InvariantBrokenError
from tests.simulation.loop_messages import Message, Timer, message_of
from tests.simulation.whole_broker import WholeBroker
from tests.support.manual_clock import ManualClock

BROKER_IDS = (1, 2, 3, 4)
CLEAN, UNCLEAN = "clean", "unclean"
TOPIC_IDS = {CLEAN: b"c" * 16, UNCLEAN: b"u" * 16}

OnDecision = Callable[[str, Any, Any], None]
"""(topic, command, state behind it)"""


class WholeCluster:
    """See the module."""

    def __init__(self, folder: Path, seed: int, chance: random.Random) -> None:
        self.folder = folder
        self.clock = ManualClock(seed=seed)
        self.wires = Wires(BROKER_IDS)
        self.syncs = FaultySyncs(folder)
        self.decisions: list[Command] = []
        self.on_decision: OnDecision | None = None
        self.violation: InvariantBrokenError | None = None
        self.flushes = chance.random() < 0.5  # before it acknowledges
        self.copy_counts = (2, 3, 3)
        self.asks_for_two = False  # in sync, of either topic
        dir_count = chance.choice((1, 2))
        self.brokers = {b: WholeBroker(self, b, dir_count=dir_count) for b in BROKER_IDS}
        self.queues: dict[tuple[int, int], deque[Message]] = {
            (a, b): deque() for a in BROKER_IDS for b in BROKER_IDS if a != b
        }
        self._timers: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._chance = chance

    def begin(self) -> None:
        """Start all brokers and create the topics."""
        for broker in self.brokers.values():
            broker.start()
        self.link_all()
        chance = self._chance
        common = {"flush.messages": "1"} if self.flushes else {}
        clean = {"min.insync.replicas": chance.choice(("1", "2")), **common}
        unclean = {"unclean.leader.election.enable": "true", **common}
        if self.asks_for_two:
            clean["min.insync.replicas"] = unclean["min.insync.replicas"] = "2"
        for name, configs in ((CLEAN, clean), (UNCLEAN, unclean)):
            replicas = tuple(chance.sample(BROKER_IDS, chance.choice(self.copy_counts)))
            self.decisions.append(
                CreateTopic(name, TOPIC_IDS[name], (replicas,), tuple(configs.items()))
            )
        for broker in self.brokers.values():
            while broker.cluster_group.is_behind:
                broker.cluster_group.take_next()

    def close(self) -> None:
        for broker in self.brokers.values():
            if broker.is_running:
                broker.stop(clean=False)

    def running(self) -> list[WholeBroker]:
        return [broker for broker in self.brokers.values() if broker.is_running]

    def replicas_of(self, topic: str) -> list[tuple[WholeBroker, Partition]]:
        """The running brokers that have a copy of it, and the copies."""
        return [
            (broker, partition)
            for broker in self.running()
            for partition in broker.partitions()
            if partition.topic == topic
        ]

    # -- what the brokers tell

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """See every sync, and what a broker decides that votes alone.

        Other groups tell by their machines.  One that decides alone may take several decisions
        within one event and then begin a generation with others; who looked only at the groups
        that are alone after the event would miss an election, and take the leader that it replaced
        for the newest one.
        """
        apply_next = PartitionGroup.apply_next

        def apply_and_tell(group: PartitionGroup, command: Any) -> Any:
            outcome = apply_next(group, command)
            self.note_decision(group.base_id, command, group.state)
            return outcome

        with (
            self.syncs.watching(),
            mock.patch.object(PartitionGroup, "apply_next", apply_and_tell),
        ):
            yield

    def note_decision(self, group_id: str, command: Any, state: Any) -> None:
        key = parse_partition_group_id(group_id)
        assert key is not None, group_id
        topic = next(name for name, topic_id in TOPIC_IDS.items() if topic_id == key[0])
        if self.on_decision is not None:
            try:
                self.on_decision(topic, command, state)
            except InvariantBrokenError as violation:
                # What a machine raises, a group logs and goes on: F7.
                self.violation = self.violation or violation

    def has_failed_disk(self, broker_id: int) -> bool:
        return broker_id in self.syncs.wal_failed or broker_id in self.syncs.log_failed

    # -- brokers come and go

    def link_all(self) -> None:
        running = [broker.broker_id for broker in self.running()]
        for a in running:
            for b in running:
                if a < b:
                    self.wires.link(a, b)

    def unlink(self, a: int, b: int) -> None:
        self.wires.unlink(a, b)
        for pair in ((a, b), (b, a)):
            lost, self.queues[pair] = self.queues[pair], deque()
            for message in lost:
                message.lose()

    def stop(self, broker_id: int, *, clean: bool) -> None:
        broker = self.brokers[broker_id]
        broker.stop(clean=clean)
        for other in BROKER_IDS:
            if other != broker_id:
                self.unlink(broker_id, other)
        self.wires.leave(broker_id)

    def lose_power(self, broker_id: int, keep: Callable[[], float]) -> None:
        """End a broker and its machine: `keep` draws how much of each unsynced tail is left."""
        broker = self.brokers[broker_id]
        ends = {}
        for log in broker.log_manager.logs():
            synced = self.syncs.synced_end(log)
            ends[log] = synced + int((log.log_end_offset - synced) * keep())
        self.stop(broker_id, clean=False)
        broker.boot += 1
        self._cut_logs(broker, ends)

    def drop_unsynced(self, broker_id: int, *, keep_wal: bool, keep: float) -> None:
        """End a broker whose disk failed: what was not synced may be gone, or not."""
        broker = self.brokers[broker_id]
        wal, position = broker.wal.path, broker.wal._position
        has_failed_wal = broker_id in self.syncs.wal_failed
        ends = {}
        for log in broker.log_manager.logs():
            if self.flushes and log.is_offline and not log._is_closed:
                synced = self.syncs.synced_end(log)
                ends[log] = synced + int((log.log_end_offset - synced) * keep)
        self.stop(broker_id, clean=not has_failed_wal)
        if has_failed_wal and not keep_wal:
            with wal.open("r+b") as file:
                size = file.seek(0, 2)
                file.seek(position)
                file.write(bytes(size - position))
        self._cut_logs(broker, ends)

    def _cut_logs(self, broker: WholeBroker, ends: dict[Log, int]) -> None:
        """What stands behind these ends did not make it to the disk."""
        for log, end in ends.items():
            if log.log_end_offset > end and log.path.is_dir():
                again = Log.open(
                    log.path,
                    topic=log.topic,
                    partition=log.partition,
                    config=log.config,
                    clock=self.clock,
                    worker=InlineWorker(),
                    is_clean=False,
                )
                again.truncate_to(end)
                again.close(clean=False)

    def restart(self, broker_id: int) -> None:
        self.syncs.restarted(broker_id)
        self.brokers[broker_id].start()
        for other in self.running():
            if other.broker_id != broker_id:
                self.wires.link(broker_id, other.broker_id)

    # -- messages and time

    def send(
        self,
        sender: WholeBroker,
        to_id: int,
        deliver: Callable[[Any], None],
        lost: Callable[[], None] | None,
        *,
        back_to: tuple[WholeBroker, Callable[[], None]] | None = None,
    ) -> None:
        """Queue a message of the loops; an answer (`back_to`) is lost for who asked."""
        message = message_of(sender, deliver, lost, back_to)
        if self.wires.is_linked(sender.broker_id, to_id):
            self.queues[sender.broker_id, to_id].append(message)
        else:
            message.lose()

    def deliver_message(self, from_id: int, to_id: int) -> None:
        message = self.queues[from_id, to_id].popleft()
        broker = self.brokers[to_id]
        broker.attempt(lambda: message.deliver(broker))

    def deliver_frames(self, from_id: int, to_id: int, most: int) -> None:
        """Let up to so many frames of a link arrive, in one turn of the receiver."""
        queue, broker = self.wires.queues[from_id, to_id], self.brokers[to_id]
        for _ in range(min(most, len(queue))):
            broker.runtime.links.inbox.append((from_id, queue.popleft()))
        broker.runtime.turn()

    def schedule(self, delay_ms: int, broker: Any, call: Callable[[], None]) -> Timer:
        timer = Timer(broker, call)
        due_ms = self.clock.monotonic_ms() + delay_ms
        heapq.heappush(self._timers, (due_ms, next(self._order), timer))
        return timer

    def run_due_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.clock.monotonic_ms():
            timer = heapq.heappop(self._timers)[2]
            timer.broker.attempt(timer.fire)
