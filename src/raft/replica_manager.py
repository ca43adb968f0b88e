"""Which partitions this broker holds: follows the cluster's state, opens logs, elects leaders.

A log that cannot be opened leaves its partition offline; the others serve.  All elections of one
occasion (the start of the broker, a new topic) are journaled in one batch.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..core.clock import Clock
from ..core.errors import (
    InconsistentLogDirError,
    InvalidConfigError,
    KafkaStorageError,
    LogCorruptedError,
    LogLostError,
    RecordError,
)
from ..core.log_config import LogConfig, parse_topic_configs
from ..core.worker import InlineWorker, Worker
from .cluster_commands import (
    RESOURCE_TOPIC,
    AlterConfigs,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    FinishReassignment,
    ReassignPartitions,
)
from .cluster_group import ClusterGroup, Standing
from .errors import (
    NotLeaderOrFollowerError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from .full_disks import FullDisks
from .group_seats import GroupSeats
from .isr import DEFAULT_REPLICA_LAG_MS
from .later_epochs import LaterEpochs
from .partition import Partition
from .partition_group import (
    Decision,
    parse_partition_group_id,
    partition_group_id,
    propose_together,
)
from .partition_state import Elect, ElectKind, Form, Outcome, PartitionState
from .placement import choose_voters
from .raft_wal import RaftWal
from .replica_log import LogKeeper, ReplicaLog
from .runtime_contract import Runtime, Schedule
from .seat import Seat
from .seed_sender import base_id_of_seed
from .stray_logs import StrayLogs
from .topic_image import TopicImage

logger = logging.getLogger(__name__)

PartitionHook = Callable[[Partition], None]

# What keeps one log closed and leaves the broker standing.
_LOG_FAULTS = (
    KafkaStorageError,
    LogCorruptedError,
    LogLostError,
    RecordError,
    InconsistentLogDirError,
    InvalidConfigError,
)


class ReplicaManager:
    """The partitions of this broker by name and by topic id.  Loop thread only.

    `on_partition_online` and `on_partition_offline` are called for each partition that starts or
    ceases to be led here; append to them before `start`.
    """

    def __init__(
        self,
        *,
        broker_id: int,
        log_manager: LogKeeper,
        cluster_group: ClusterGroup,
        wal: RaftWal,
        clock: Clock,
        default_config: LogConfig | None = None,
        incarnation: int | None = None,
        worker: Worker | None = None,
    ) -> None:
        self.broker_id = broker_id
        self.incarnation = (
            int.from_bytes(clock.random_bytes(7), "big") if incarnation is None else incarnation
        )
        self.on_partition_online: list[PartitionHook] = []
        self.on_partition_offline: list[PartitionHook] = []
        # Told of each partition that begins or ceases to follow; set before `start`.
        self.on_role_changed: PartitionHook | None = None
        # Told of each new state of a partition that several brokers hold.
        self.on_state_taken: PartitionHook | None = None
        # Told of each partition whose log was opened; set before `start`.
        self.on_log_opened: PartitionHook | None = None
        # Gives, for a log's folder, what to call when more of it is committed; set before `start`.
        self.committed_hook_of: Callable[[Path], Callable[[], None] | None] | None = None
        self._log_manager = log_manager
        self._clock = clock
        self._cluster_group = cluster_group
        self._wal = wal
        self.seats = GroupSeats(
            broker_id=broker_id,
            incarnation=self.incarnation,
            wal=wal,
            cluster_group=cluster_group,
            on_changed=self._seat_changed,
            on_left=self._seat_left,
            config_of=self._topic_config,
        )
        self._strays = StrayLogs(broker_id, log_manager, cluster_group, self.seats, self.find)
        self._full_disks = FullDisks(self.seats.offline, worker or InlineWorker())
        self._later_epochs = LaterEpochs(self.is_live)
        self._default_config = default_config or LogConfig()
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._partitions_by_id: dict[tuple[bytes, int], Partition] = {}
        self._unopened: dict[Partition, str] = {}
        self._lost: set[Partition] = set()
        self._is_started = False
        cluster_group.add_listener(self._on_applied)

    # -- look-up

    def partition(self, topic: str, index: int) -> Partition:
        """The partition; raises UnknownTopicOrPartitionError, or NotLeaderOrFollowerError where
        only other brokers hold it."""
        found = self._partitions.get((topic, index))
        if found is None:
            raise self._why_missing(self._cluster_group.state.topics.get(topic), topic, index)
        return found

    def partition_by_id(self, topic_id: bytes, index: int) -> Partition:
        """As `partition`; raises UnknownTopicIdError where no topic has this id."""
        found = self._partitions_by_id.get((topic_id, index))
        if found is None:
            topic = self._cluster_group.state.topic_by_id(topic_id)
            if topic is None:
                raise UnknownTopicIdError(f"no topic has the id {topic_id.hex()}")
            raise self._why_missing(topic, topic.name, index)
        return found

    def find(self, topic_id: bytes, index: int) -> Partition | None:
        """This broker's replica of a partition, if it has one."""
        return self._partitions_by_id.get((topic_id, index))

    def leader_of(self, topic: str, index: int) -> tuple[int, int] | None:
        """(leader id, leader epoch) as far as this broker knows; None where nobody leads."""
        own = self._partitions.get((topic, index))
        state = self.state_of(topic, index) if own is None else own.group.state
        if state is None or not self.is_live(state.leader):
            return None
        image = self._cluster_group.state.topics[topic]
        if state.leader in self.offline_replicas(image.topic_id, index):
            return None
        return state.leader, state.leader_epoch

    def offline_replicas(self, topic_id: bytes, index: int) -> Collection[int]:
        """The brokers that are up and cannot serve their copy of this partition."""
        offline = self.seats.offline
        return offline.brokers_of(partition_group_id(topic_id, index)) if offline else ()

    def state_of(self, topic: str, index: int) -> PartitionState | None:
        """The newest state of a partition that this broker knows, whoever holds it."""
        image = self._cluster_group.state.topics.get(topic)
        if image is None or not 0 <= index < image.partition_count:
            return None
        return self.seats.state_of(image, index)

    def is_live(self, broker_id: int) -> bool:
        """Whether a broker is this one, or its link is up; without links, whatever is decided."""
        if self.seats.news is None:
            return broker_id >= 0
        return broker_id == self.broker_id or broker_id in self.seats.live

    def partitions(self) -> Iterable[Partition]:
        """Every partition of this broker, the offline ones too."""
        return self._partitions.values()

    def _why_missing(self, topic: TopicImage | None, name: str, index: int) -> Exception:
        if topic is None or not 0 <= index < topic.partition_count:
            return UnknownTopicOrPartitionError(f"no partition {name}-{index}", name, index)
        return NotLeaderOrFollowerError(f"broker {self.broker_id} holds no copy of {name}-{index}")

    # -- life

    def start(self) -> None:
        """Host every partition that the cluster's state gives this broker; elect them at once."""
        self._log_manager.on_dir_offline = self._on_dir_offline
        self._is_started = True
        decides_alone = self._cluster_group.standing is Standing.SOLO
        if decides_alone:
            self._finish_deletions()
        opened: list[Partition] = []
        for topic in list(self._cluster_group.state.topics.values()):
            opened += self._host_partitions(topic, first_partition=0)
        if decides_alone:
            self._strays.state_is_present()
        self._elect(opened)

    def connect(self, runtime: Runtime, schedule: Schedule, *, session: int) -> None:
        """Take part in a cluster of several brokers from now on."""
        self.seats.on_peers = self.review_isrs
        self.seats.connect(runtime, schedule, session=session)

    def finish_deletions(self) -> None:
        """The cluster's state is the present one: delete what it does not have here any more."""
        self._finish_deletions()
        self._strays.state_is_present()

    def led_count(self) -> int:
        """How many partitions this broker leads that others could lead."""
        return sum(
            partition.is_leader and len(partition.isr) > 1 for partition in self.partitions()
        )

    def review_isrs(
        self, max_lag_ms: int = DEFAULT_REPLICA_LAG_MS, *, may_peers_differ: bool = True
    ) -> None:
        """Ask followers out of the isr that are gone or lag; see `Partition.review_isr`."""
        now_ms = self._clock.monotonic_ms()
        for partition in self._partitions.values():
            if partition.is_leader:
                partition.review_isr(now_ms, max_lag_ms, may_peers_differ=may_peers_differ)
            elif partition.is_past_leader:
                self._later_epochs.note(partition, now_ms)

    def close(self) -> None:
        """Refuse everything and release everyone who waits; logs stay to the log manager."""
        for partition in self._partitions.values():
            partition.stop()

    def set_default_config(self, config: LogConfig) -> None:
        """The broker-wide defaults changed: every topic's settings are worked out again."""
        self._default_config = config
        self._log_manager.set_default_config(config)
        for topic in self._cluster_group.state.topics.values():
            self._reconfigure(topic)
            self.seats.evaluate_topic(topic)  # perhaps somebody may lead now

    # -- what the cluster decided

    def _on_applied(self, command: Command, result: Any) -> None:
        if not self._is_started:
            return
        match command:
            case CreateTopic():
                self._elect(self._host_partitions(result, first_partition=0))
            case CreatePartitions(_, added):
                first = result.partition_count - len(added)
                self._elect(self._host_partitions(result, first_partition=first))
            case DeleteTopic():
                self._drop_topic(result)
            case AlterConfigs(resource_type, name) if resource_type == RESOURCE_TOPIC:
                topic = self._cluster_group.state.topics[name]
                self._reconfigure(topic)
                self.seats.evaluate_topic(topic)
            case ReassignPartitions() | FinishReassignment():
                self.seats.evaluate_topic(result)
                self._strays.topic_changed(result)

    def _host_partitions(self, topic: TopicImage, *, first_partition: int) -> list[Partition]:
        """Open this broker's partitions of `topic`; gives them all, also those left offline."""
        hosted = []
        with self._log_manager.creating_together():
            for index in range(first_partition, topic.partition_count):
                seat = self.seats.open_seat(topic, index)
                if seat is None or seat.partition is not None:
                    continue
                replicas = seat.group.state.replicas or topic.assignments[index]
                if self.broker_id in replicas:
                    hosted.append(self._fill_seat(seat, topic))
        return hosted

    def _fill_seat(self, seat: Seat, topic: TopicImage) -> Partition:
        """Have the replica of a partition that this broker votes on."""
        partition = seat.partition = Partition(
            topic=topic.name,
            index=seat.index,
            topic_id=topic.topic_id,
            broker_id=self.broker_id,
            group=seat.group,
            incarnation_of=partial(self._incarnation_of, seat.group.base_id),
            clock=self._clock,
        )
        partition.on_role_changed = self.on_role_changed
        partition.on_no_room = self._full_disks.note
        self._partitions[topic.name, seat.index] = partition
        self._partitions_by_id[topic.topic_id, seat.index] = partition
        config, reason = self._config_of(topic)
        if config is None:
            self._go_offline([partition], reason)
        else:
            self._open_log(partition, config)
        self.seats.replica_opened(seat)
        return partition

    def _incarnation_of(self, base_id: str, broker_id: int) -> int | None:
        """That of a broker which is up, stays so, and can serve its copy of this partition."""
        news = self.seats.news
        if news is not None and broker_id in news.stopping:
            return None
        if broker_id in self.seats.offline.brokers_of(base_id):
            return None
        broker = self.seats.live.get(broker_id)
        return None if broker is None else broker.incarnation

    # -- what partitions' groups decided

    def _seat_changed(self, seat: Seat) -> None:
        topic = self._cluster_group.state.topics.get(seat.topic)
        if topic is None or not self._is_started:
            return
        if self.broker_id not in seat.group.state.replicas:
            self._seat_left(seat)
            return
        partition = seat.partition or self._fill_seat(seat, topic)
        self._retry_lost(partition, seat, topic)
        state = seat.group.state
        # A generation may begin in a later life than that of its last election.
        is_elected = (state.leader, state.leader_session) == (self.broker_id, self.seats.session)
        if seat.group.is_alone and not is_elected:
            self._elect([partition])
        else:
            self._take_role(partition)

    def _seat_left(self, seat: Seat) -> None:
        """The partition moved to other brokers: its copy here goes."""
        partition, seat.partition = seat.partition, None
        seat.was_held = False
        if partition is None:
            self._strays.group_left(seat.group.base_id)
            return
        logger.info("%s-%d moved to other brokers", partition.topic, partition.index)
        self._drop_partition(partition)

    def _take_role(self, partition: Partition) -> None:
        was_leader = partition.is_leader
        partition.state_changed()
        if partition.is_leader and not was_leader:
            _call_each(self.on_partition_online, partition)
        elif was_leader and not partition.is_leader:
            _call_each(self.on_partition_offline, partition)
        if self.on_state_taken is not None:
            self.on_state_taken(partition)

    def _topic_config(self, topic: TopicImage) -> LogConfig | None:
        return self._config_of(topic)[0]

    def _open_log(self, partition: Partition, config: LogConfig) -> None:
        try:
            seat = self.seats.seat_of(partition.topic_id, partition.index)
            accepts_loss = seat is None or seat.may_lose_log(self.broker_id, self.seats.session)
            log = self._log_manager.get_or_create_log(
                partition.topic,
                partition.index,
                topic_id=partition.topic_id,
                config=config,
                is_new=seat is not None and not seat.was_held,
                accepts_loss=accepts_loss,
                # A machine that went down forgets what was not flushed: see LogReport.
                accepts_short=accepts_loss or not self.seats.has_kept_cache,
            )
        except LogLostError as error:
            self._note_lost(partition, error)
        except _LOG_FAULTS as error:
            reason = str(error)
            if self._unopened.get(partition) != reason:
                logger.error("%s-%d is offline: %s", partition.topic, partition.index, reason)
            self._go_offline([partition], reason)
            if isinstance(error, KafkaStorageError):
                self._unopened[partition] = reason
        else:
            self._unopened.pop(partition, None)
            self._lost.discard(partition)
            partition.take_log(log)
            self.seats.note_offline([partition], is_offline=False)
            if self.committed_hook_of is not None:
                partition.on_committed = self.committed_hook_of(log.path)
            if self.on_log_opened is not None:
                self.on_log_opened(partition)

    def _note_lost(self, partition: Partition, error: LogLostError) -> None:
        """Serve it no more until another leads, so that nobody counts on what is not there."""
        if partition not in self._lost:
            logger.error(
                "%s.  This replica serves again once another one leads.  If none can, bring the "
                "folder back and restart, or give the records up: headrace cluster elect %s:%d "
                "--unclean",
                *(error, partition.topic, partition.index),
            )
        self._lost.add(partition)
        self._go_offline([partition], str(error), is_lost=True)

    def _retry_lost(self, partition: Partition, seat: Seat, topic: TopicImage) -> None:
        """Begin a log anew that is lost, once that harms nothing any more."""
        config = self._config_of(topic)[0]
        may_begin = seat.may_lose_log(self.broker_id, self.seats.session)
        if partition in self._lost and config is not None and may_begin:
            logger.warning("%s-%d begins without what it lost", partition.topic, partition.index)
            self._open_log(partition, config)

    def replace_log(self, partition: Partition, log: ReplicaLog) -> None:
        """Another copy of its log, in another folder, is its log from now on."""
        told = partition.on_committed
        partition.replace_log(log)
        if self.committed_hook_of is not None:
            partition.on_committed = self.committed_hook_of(log.path)
        if told is not None:
            told()  # who looks at the old folder sees that it is gone

    def retry_unopened(self) -> None:
        """Try again what storage refused to open or to write: the disk may have room by now."""
        self._full_disks.look()
        waiting = list(self._unopened)
        for partition in waiting:
            config, _ = self._config_of(self._cluster_group.state.topics[partition.topic])
            if config is not None:
                self._open_log(partition, config)
        self._elect([partition for partition in waiting if partition.log is not None])

    def _config_of(self, topic: TopicImage) -> tuple[LogConfig | None, str]:
        if not topic.configs:
            return self._default_config, ""
        try:
            return parse_topic_configs(topic.configs, self._default_config), ""
        except InvalidConfigError as error:
            reason = f"a setting of topic {topic.name} is invalid: {error}"
            logger.error("%s", reason)
            return None, reason

    def _reconfigure(self, topic: TopicImage) -> None:
        config, reason = self._config_of(topic)
        for index in range(topic.partition_count):
            partition = self._partitions.get((topic.name, index))
            if partition is None:
                continue
            if config is None:
                logger.error("%s-%d keeps its settings: %s", topic.name, index, reason)
            elif partition.log is None:
                self._open_log(partition, config)
                self._elect([partition])
            else:
                partition.log.update_config(config)
                partition.config_changed()

    def _drop_topic(self, topic: TopicImage) -> None:
        gone: list[str] = []
        left: list[str] = []
        for index in range(topic.partition_count):
            partition = self._partitions.get((topic.name, index))
            is_here = partition is not None and partition.topic_id == topic.topic_id
            is_gone = not is_here or partition is None or self._drop_partition(partition)
            (gone if is_gone else left).append(partition_group_id(topic.topic_id, index))
        # Last, so that a crash on the way leaves a group without a topic, as a folder that is
        # offline does: see _finish_deletions.
        self.seats.close_seats(gone)
        self.seats.close_seats(left, forget=False)

    def _drop_partition(self, partition: Partition) -> bool:
        """This broker holds it no more: release who waits, delete the log; see `delete_log`."""
        del self._partitions[partition.topic, partition.index]
        del self._partitions_by_id[partition.topic_id, partition.index]
        self._unopened.pop(partition, None)
        self._lost.discard(partition)
        self._full_disks.forget(partition)
        self._later_epochs.forget(partition)
        partition.mark_deleted()
        if self.on_role_changed is not None:
            self.on_role_changed(partition)
        _call_each(self.on_partition_offline, partition)
        return self._log_manager.delete_log(partition.topic, partition.index)

    def _finish_deletions(self) -> None:
        """Delete what a crash, or a folder that was offline, left of topics deleted since."""
        state = self._cluster_group.state
        orphans: dict[tuple[bytes, int], list[str]] = {}
        seeds: set[str] = set()
        for group_id in self._wal.replay():
            of_seed = base_id_of_seed(group_id)
            seeded = None if of_seed is None else parse_partition_group_id(of_seed)
            if of_seed and seeded and state.topic_by_id(seeded[0]) is None:
                seeds.add(of_seed)
            key = parse_partition_group_id(group_id)
            if key is not None and state.topic_by_id(key[0]) is None:
                orphans.setdefault(key, []).append(group_id)
        self.seats.drop_seeds(seeds)
        if not orphans:
            return
        for log in self._log_manager.logs():
            if (log.topic_id, log.partition) in orphans:
                logger.info("%s-%d: deleting what is left of it", log.topic, log.partition)
                self._log_manager.delete_log(log.topic, log.partition)
        if not self._log_manager.offline_dirs:
            self._wal.forget_groups(group_id for ids in orphans.values() for group_id in ids)

    # -- leaders

    def _elect(self, partitions: Sequence[Partition]) -> None:
        """Form the groups that are new and lead every partition whose log is open, in one batch.

        Where that cannot be journaled they are offline until `retry_unopened`.
        """
        own = [each for each in partitions if each.group.is_alone and not each.group.is_sealed]
        decisions = [decision for partition in own for decision in self._decisions_for(partition)]
        try:
            propose_together(self._wal, decisions)
        except KafkaStorageError as error:
            unled = [each for each in own if each.log is not None]
            logger.error("%d partitions are offline, nobody leads them: %s", len(unled), error)
            self._go_offline(unled, str(error))
            self._unopened.update(dict.fromkeys(unled, str(error)))
        for partition in partitions:
            self._take_role(partition)
            seat = self.seats.seat_of(partition.topic_id, partition.index)
            if seat is not None and seat.group.is_alone:
                self.seats.tell_outsiders(seat)
                self.seats.evaluate(seat)

    def _decisions_for(self, partition: Partition) -> list[Decision]:
        group = partition.group
        epoch = group.state.partition_epoch
        decisions: list[Decision] = []
        if not group.state.replicas:
            decisions.append((group, self._form(partition), _must_apply))
            epoch += 1
        if partition.log is not None:
            member = (self.broker_id, self.incarnation)
            elect = Elect(
                expected_partition_epoch=epoch,
                leader=self.broker_id,
                incarnation=self.incarnation,
                kind=ElectKind.CLEAN if member in group.state.isr else ElectKind.RESTARTED,
                min_leader_epoch=partition.log.latest_epoch + 1,
                session=self.seats.session,
            )
            decisions.append((group, elect, _must_apply))
        return decisions

    def _form(self, partition: Partition) -> Form:
        state = self._cluster_group.state
        replicas = state.topics[partition.topic].assignments[partition.index]
        return Form(0, replicas, choose_voters(replicas, state.brokers))

    def _on_dir_offline(self, path: Path) -> None:
        """A folder of log.dirs, or of one log, failed: its partitions go offline, others serve."""
        self._go_offline(
            [
                partition
                for partition in self._partitions.values()
                if (log := partition.log) is not None and path in (log.path, *log.path.parents)
            ],
            f"the folder {path} failed; see the log of the broker",
        )

    def _go_offline(
        self, partitions: Sequence[Partition], reason: str, *, is_lost: bool = False
    ) -> None:
        """Serve these no more, and tell the other brokers: who led them is replaced."""
        for partition in partitions:
            was_leader = partition.is_leader
            partition.go_offline(reason)
            if was_leader:
                _call_each(self.on_partition_offline, partition)
        self.seats.note_offline(partitions, is_offline=True, is_lost=is_lost)


def _must_apply(outcome: Outcome) -> None:
    assert outcome == Outcome.APPLIED, outcome


def _call_each(hooks: Iterable[PartitionHook], partition: Partition) -> None:
    for hook in hooks:
        hook(partition)
