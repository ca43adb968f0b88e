"""Replicas of one partition over real logs, without Raft and without a network.

Decisions are made by a `SharedGroup`, fetches by hand: what happens, and in which order, is the
test's.  A broker that is killed keeps or loses what its log had not synced, as the test says.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import OffsetOutOfRangeError
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import iter_batches
from headrace.core.worker import InlineWorker
from headrace.raft.partition import Partition
from headrace.raft.partition_state import (
    NO_LEADER,
    AlterIsr,
    Elect,
    ElectKind,
    Outcome,
    PartitionState,
)
from tests.support.deciders import SharedGroup
from tests.support.manual_clock import ManualClock


class StagedBroker:
    """One broker's life: its incarnation, its log, its replica."""

    def __init__(self, stage: "ReplicaStage", broker_id: int) -> None:
        self.stage, self.broker_id = stage, broker_id
        self.incarnation = 10 * broker_id
        self.is_live = False
        self.partition: Partition
        self.log: Log

    def start(self) -> None:
        stage = self.stage
        self.log = Log.open(
            stage.folder / f"broker-{self.broker_id}",
            topic="clicks",
            partition=0,
            config=stage.config,
            clock=stage.clock,
            worker=InlineWorker(),
            is_clean=False,
        )
        self.partition = Partition(
            topic="clicks",
            index=0,
            topic_id=b"t" * 16,
            broker_id=self.broker_id,
            group=stage.group,
            incarnation_of=stage.incarnation_of,
            clock=stage.clock,
        )
        self.is_live = True
        stage.group.replicas.append(self.partition)
        self.partition.take_log(self.log)
        self.partition.state_changed()

    def kill(self, *, lost: int = 0) -> None:
        """Stop without a word; the last `lost` records were not on disk."""
        self.is_live = False
        self.stage.group.replicas.remove(self.partition)
        self.partition.stop()
        self.log.close(clean=False)
        if lost:
            log = Log.open(
                self.log.path,
                topic="clicks",
                partition=0,
                config=self.stage.config,
                clock=self.stage.clock,
                worker=InlineWorker(),
                is_clean=False,
            )
            log.truncate_to(max(log.log_end_offset - lost, 0))
            log.close(clean=False)

    def values(self, end_offset: int | None = None) -> list[str]:
        """What its log holds, below `end_offset`."""
        log = self.log
        records = log.read_records(
            start_offset=log.log_start_offset,
            max_bytes=1 << 30,
            upper_bound_offset=log.log_end_offset if end_offset is None else end_offset,
        )
        return values_in(records)


class ReplicaStage:
    """Brokers 1, 2, ... with one partition; broker 1 leads epoch 0 and all are in sync."""

    def __init__(
        self, folder: Path, broker_ids: tuple[int, ...] = (1, 2, 3), config: LogConfig | None = None
    ) -> None:
        self.folder = folder
        self.config = config or LogConfig()
        self.clock = ManualClock()
        self.brokers = {each: StagedBroker(self, each) for each in broker_ids}
        isr = tuple((each, broker.incarnation) for each, broker in self.brokers.items())
        self.group = SharedGroup(
            PartitionState(
                replicas=broker_ids,
                voters=broker_ids,
                leader=broker_ids[0],
                leader_epoch=0,
                partition_epoch=1,
                isr=isr,
            )
        )
        self.said: list[str] = []
        for broker in self.brokers.values():
            broker.is_live = True  # so that none asks the others out while they start
        for broker in self.brokers.values():
            broker.start()

    def close(self) -> None:
        for broker in self.brokers.values():
            if broker.is_live:
                broker.kill()

    def incarnation_of(self, broker_id: int) -> int | None:
        broker = self.brokers[broker_id]
        return broker.incarnation if broker.is_live else None

    @property
    def leader(self) -> StagedBroker:
        """The broker that the group names."""
        return self.brokers[self.group.state.leader]

    def append(self, broker_id: int, *values: str, acks: int = -1, **fields: Any) -> Any:
        """One batch at that broker; what becomes of an acks=all is said."""
        builder = BatchBuilder(**fields)
        for value in values:
            builder.append_record(timestamp=self.clock.now_ms(), key=None, value=value.encode())
        partition = self.brokers[broker_id].partition
        info = partition.append_records(bytes(builder.build()), required_acks=acks)
        name = ",".join(values)
        if acks == -1:
            partition.wait_for_high_watermark(
                info.last_offset + 1, self._say_outcome(f"acks=all {name}")
            )
        return info

    def _say_outcome(self, name: str) -> Callable[[BaseException | None], None]:
        def say(error: BaseException | None) -> None:
            self.said.append(f"{name}: {'committed' if error is None else type(error).__name__}")

        return say

    def fetch(self, broker_id: int, *, max_bytes: int = 1 << 20) -> str:
        """One fetch of a follower from the leader it knows; in words what it brought."""
        follower = self.brokers[broker_id].partition
        if not follower.is_follower:
            return "follows nobody"
        leader = self.brokers[follower.leader_id]
        if not leader.is_live:
            return f"broker {follower.leader_id} does not answer"
        try:
            fetched = leader.partition.fetch_for_follower(
                broker_id=broker_id,
                incarnation=self.brokers[broker_id].incarnation,
                fetch_offset=follower.log_end_offset,
                log_start_offset=follower.log_start_offset,
                last_fetched_epoch=self.brokers[broker_id].log.latest_epoch,
                current_leader_epoch=follower.leader_epoch,
                max_bytes=max_bytes,
                now_ms=self.clock.monotonic_ms(),
            )
        except OffsetOutOfRangeError as error:
            follower.begin_at(error.log_start_offset, error.log_end_offset)
            return f"begins at {follower.log_end_offset}"
        if not follower.is_follower:
            return "was elected meanwhile"
        if fetched.diverging_epoch is not None:
            follower.truncate_for(fetched.diverging_epoch)
            return f"cuts back to {follower.log_end_offset}"
        follower.append_from_leader(
            memoryview(bytes(fetched.records)),
            leader_epoch=follower.leader_epoch,
            high_watermark=fetched.high_watermark,
            log_start_offset=fetched.log_start_offset,
        )
        return "gets " + (",".join(values_in(fetched.records)) or "nothing")

    def elect(self, broker_id: int, kind: ElectKind = ElectKind.CLEAN) -> Outcome:
        """As the partition's controller proposes it."""
        epoch, incarnation = self.group.state.partition_epoch, self.brokers[broker_id].incarnation
        min_in_sync = self.config.min_insync_replicas
        return self.group.decide(
            Elect(epoch, broker_id, incarnation, kind, min_in_sync=min_in_sync)
        )

    def lose_leader(self) -> None:
        """Nobody leads: as after the end of a leader that nobody may follow."""
        self.group.state = replace(self.group.state, leader=NO_LEADER)
        for partition in list(self.group.replicas):
            partition.state_changed()

    def alter_isr(self, *broker_ids: int) -> Outcome:
        """As the partition's controller proposes it."""
        state = self.group.state
        isr = tuple((each, self.brokers[each].incarnation) for each in broker_ids)
        return self.group.decide(AlterIsr(state.partition_epoch, state.leader_epoch, isr))

    def describe(self, broker_id: int) -> str:
        """A broker's replica in one line."""
        broker = self.brokers[broker_id]
        if not broker.is_live:
            return "is dead"
        partition = broker.partition
        role = "follows" if partition.is_follower else "waits"
        if partition.is_leader:
            role = f"leads epoch {partition.leader_epoch}"
        text = (
            f"{role} log_end_offset={partition.log_end_offset} "
            f"high_watermark={partition.high_watermark}"
        )
        if partition.log_start_offset:
            text += f" log_start_offset={partition.log_start_offset}"
        if partition.is_leader:
            text += f" isr={','.join(map(str, sorted(partition.isr)))}"
            elr = [str(each) for each, _ in self.group.state.elr]
            text += f" elr={','.join(elr)}" if elr else ""
        return text


def values_in(records: Any) -> list[str]:
    """The values of all records of these batches."""
    return [
        (record.value or b"").decode()
        for batch in iter_batches(records)
        for record in batch.records()
    ]
