"""`Broker`: what this node owns, put together in the order in which one part needs another.

    log folders locked and loaded -> journal replayed -> partitions led -> groups loaded
    -> sockets accept (api/server does that)

Everything here runs on the loop thread; slow disk work goes to the worker, whose results come back
to the loop.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..core.append_bell import AppendBells
from ..core.clock import Clock, SystemClock
from ..core.errors import KafkaStorageError
from ..core.kafka_uuid import random_uuid
from ..core.log_manager import LogManager
from ..core.log_manager_settings import LogManagerSettings
from ..core.worker import ThreadWorker, Worker
from ..raft.broker_identity import load_identity
from ..raft.cluster_commands import (
    RESOURCE_BROKER,
    AlterConfigs,
    Assignments,
    Command,
    CreatePartitions,
    CreateTopic,
    FinishReassignment,
    ReassignPartitions,
    RegisterBroker,
)
from ..raft.cluster_group import ClusterGroup, Standing
from ..raft.cluster_state import ClusterState
from ..raft.errors import (
    NotControllerError,
    ReplicationError,
    TopicExistsError,
)
from ..raft.fetch_sessions import FetchSessions
from ..raft.log_dir_moves import LogDirMoves
from ..raft.outcomes import settle
from ..raft.partition_state import PartitionState
from ..raft.placement import grown_assignments, place_partitions
from ..raft.raft_runtime import RaftRuntime
from ..raft.raft_wal import RaftWal, wal_folder_in
from ..raft.replica_fetcher import FetcherSettings, ReplicaFetchers, SendFetch
from ..raft.replica_manager import ReplicaManager
from ..raft.replication_quota import ReplicationQuota
from ..raft.topic_image import BrokerRegistration, TopicImage
from ..raft.topic_names import INTERNAL_TOPICS, validate_topic_name
from .broker_config import BrokerConfig, Listener, with_dynamic_settings
from .changes_awaited import ChangesAwaited
from .coordinator.group_coordinator import GroupCoordinator
from .coordinator.group_hosting import host_groups
from .coordinator.group_settings import GroupSettings
from .coordinator.offsets_topic import OFFSETS_TOPIC
from .coordinator.producer_ids import ProducerIdManager
from .deadlines import Deadlines
from .leader_waits import LeaderWaits
from .membership import Membership

INTERNAL_REPLICATION_FACTOR = 3
PROPOSE_TRIES = 50
PROPOSE_AGAIN_S = 0.1
JUST_LOST_MS = 1_000
"""So long after a broker went down, others may still be elected in its place."""
MISSING_NAMED_MS = 9_000
"""How long a broker that went down is still named: Kafka's broker.session.timeout.ms."""

Call = Callable[[], None]

logger = logging.getLogger(__name__)


class Broker:
    """One node, handed to every handler.  `start` before use, `close` after."""

    def __init__(
        self, config: BrokerConfig, *, clock: Clock | None = None, worker: Worker | None = None
    ) -> None:
        self.started_with = config
        self.config = config  # started_with under the dynamic settings
        self.clock: Clock = clock or SystemClock()
        self.node_id = config.node_id
        self.advertised_listeners: tuple[Listener, ...] = config.advertised_listeners
        self._loop = asyncio.get_running_loop()
        self.worker: Worker = worker or ThreadWorker(self._loop.call_soon_threadsafe)
        self.log_manager = LogManager(
            config.log_dirs,
            clock=self.clock,
            worker=self.worker,
            default_config=config.log_config,
            settings=LogManagerSettings(
                producer_id_expiration_ms=config.producer_id_expiration_ms,
                log_cleaner_enable=config.log_cleaner_enable,
                log_cleaner_dedupe_buffer_size=config.log_cleaner_dedupe_buffer_size,
                waits_for_cluster=len(config.controller_quorum_bootstrap_servers) > 0,
            ),
            node_id=config.node_id,
        )
        self.on_fatal: Callable[[str], None] | None = None
        self.membership: Membership
        self.leader_waits: LeaderWaits
        self.changes: ChangesAwaited
        self.wal: RaftWal
        self.cluster_group: ClusterGroup
        self.replicas: ReplicaManager
        self.log_dir_moves: LogDirMoves
        self.producer_ids: ProducerIdManager
        self.groups: GroupCoordinator
        self.send_fetch: SendFetch | None = None  # set before `start`
        self.fetchers: ReplicaFetchers | None = None
        self.fetch_sessions = FetchSessions(
            self.clock, max_sessions=config.max_incremental_fetch_session_cache_slots
        )
        self.deadlines = Deadlines(self._loop)
        self.leader_quota = self._replication_quota(is_leaders=True)
        self.follower_quota = self._replication_quota(is_leaders=False)
        self.log_dirs_quota = self._replication_quota(is_leaders=False)
        self._fetch_turn = 0
        self._went_ms: dict[int, int] = {}
        self._seen: frozenset[int] = frozenset()
        self._is_open = False
        self._is_growing = False
        self._looking_for_room = asyncio.Lock()
        self.on_peers_changed: list[Callable[[Mapping[int, Any]], None]] = []
        self.on_config_changed: list[Callable[[BrokerConfig], None]] = []

    # ---- life

    def start(self) -> None:
        """Open the folders, replay the journal, lead the partitions; raises what prevents it."""
        try:
            self.log_manager.start()
            self._is_open = True
            self._open_journal()
            self._begin_to_fetch()
            self.producer_ids = ProducerIdManager(self.node_id, self.propose)
            self.groups = host_groups(
                replicas=self.replicas,
                cluster_group=self.cluster_group,
                clock=self.clock,
                schedule=self._schedule,
                settings=GroupSettings.of_config(self.config),
                create_offsets_topic=self._create_offsets_topic,
            )
            self.cluster_group.add_listener(self._on_command_applied)
            self.replicas.committed_hook_of = AppendBells().ring_of
            self.leader_waits = LeaderWaits(
                self._loop,
                self.replicas.seats,
                self.cluster_group,
                lost=self.lost_broker_ids,
                live=self.live_broker_ids,
            )
            self.changes = ChangesAwaited(self.cluster_group, self.replicas.seats)
            self.on_peers_changed.append(self.changes.peers_changed)
            self.membership.open()
            self.replicas.start()
            self._take_over()
        except BaseException:
            self.close(clean=False)
            raise

    def _open_journal(self) -> None:
        """The journal and what it says: who this broker is, the cluster's state, the partitions."""
        folder = wal_folder_in(
            self.log_manager.log_dirs,
            offline=self.log_manager.offline_dirs,
            is_in_use=bool(self.log_manager.logs()),
        )
        was_clean = self.log_manager.was_clean
        identity = load_identity(folder, was_clean=was_clean, clock=self.clock)
        self.wal = RaftWal.open(folder)
        self.cluster_group = ClusterGroup(
            self.wal,
            broker_id=self.node_id,
            may_form=not self.config.controller_quorum_bootstrap_servers,
        )
        self._take_dynamic_settings()
        self.replicas = ReplicaManager(
            broker_id=self.node_id,
            log_manager=self.log_manager,
            cluster_group=self.cluster_group,
            wal=self.wal,
            clock=self.clock,
            default_config=self.config.log_config,
            incarnation=identity.incarnation,
            worker=self.worker,
        )
        self.log_dir_moves = LogDirMoves(
            self.log_manager,
            self.replicas,
            self.worker,
            at_once=self.config.num_replica_alter_log_dirs_threads or len(self.config.log_dirs),
            quota=self.log_dirs_quota,
            schedule=self._schedule,
        )
        self.membership = Membership(
            config=self.config,
            identity=identity,
            wal=self.wal,
            log_manager=self.log_manager,
            cluster_group=self.cluster_group,
            replicas=self.replicas,
            clock=self.clock,
            on_fatal=self._fail,
        )
        self.membership.on_peers.append(self._peers_changed)

    def _take_over(self) -> None:
        """Serve what folders hold that the journal knows nothing of: Kafka's, or an embedder's."""
        if self.cluster_group.standing is Standing.SOLO:
            from .takeover import take_over  # members of a cluster have no use for it

            take_over(
                log_manager=self.log_manager,
                cluster_group=self.cluster_group,
                clock=self.clock,
                default_config=self.config.log_config,
            )

    def _fail(self, reason: str) -> None:
        if self.on_fatal is not None:
            self.on_fatal(reason)

    def _peers_changed(self, peers: Mapping[int, Any]) -> None:
        """Brokers came or went; `replicas` and `cluster_group` know by themselves."""
        now_ms = self.clock.monotonic_ms()
        self._went_ms |= dict.fromkeys(self._seen.difference(peers), now_ms)
        self._seen = frozenset(peers)
        if self.fetchers is not None:
            for broker_id in peers:
                self.fetchers.leader_is_reachable(broker_id)
        for on_peers_changed in self.on_peers_changed:
            on_peers_changed(peers)
        self._grow_internal_topics()

    def _begin_to_fetch(self) -> None:
        if self.send_fetch is None:  # nobody gave us a way to other brokers
            return
        config = self.config
        self.fetchers = ReplicaFetchers(
            broker_id=self.node_id,
            incarnation=self.replicas.incarnation,
            send_fetch=self.send_fetch,
            schedule=self._schedule,
            quota=self.follower_quota,
            settings=FetcherSettings(
                max_wait_ms=config.replica_fetch_wait_max_ms,
                max_bytes=config.replica_fetch_response_max_bytes,
                partition_max_bytes=config.replica_fetch_max_bytes,
                backoff_ms=config.replica_fetch_backoff_ms,
            ),
        )
        self.replicas.on_role_changed = self.fetchers.role_changed

    def _replication_quota(self, *, is_leaders: bool) -> ReplicationQuota:
        return ReplicationQuota(
            broker_id=self.node_id,
            is_leaders=is_leaders,
            clock=self.clock,
            window_num=self.config.replication_quota_window_num,
            window_ms=1000 * self.config.replication_quota_window_size_seconds,
        )

    def _take_dynamic_settings(self) -> None:
        state = self.cluster_group.state
        self.config = with_dynamic_settings(
            self.started_with, state.broker_configs(""), state.broker_configs(self.node_id)
        )
        self.leader_quota.bytes_per_s = self.config.leader_replication_throttled_rate
        self.follower_quota.bytes_per_s = self.config.follower_replication_throttled_rate
        self.log_dirs_quota.bytes_per_s = self.config.replica_alter_log_dirs_io_max_bytes_per_second

    def _on_command_applied(self, command: Command, result: Any) -> None:
        if isinstance(command, AlterConfigs) and command.resource_type == RESOURCE_BROKER:
            self._take_dynamic_settings()
            self.replicas.set_default_config(self.config.log_config)
            for on_config_changed in self.on_config_changed:
                on_config_changed(self.config)
        elif isinstance(command, CreateTopic | RegisterBroker | FinishReassignment):
            self._grow_internal_topics()

    async def join(self, advertised_listeners: Sequence[Listener]) -> None:
        """Be a member of the cluster, now that the ports are known; raises where it refuses us."""
        self.advertised_listeners = tuple(advertised_listeners)
        is_new = self.cluster_group.standing is Standing.FOLLOWER
        await self.membership.join(self.advertised_listeners)
        if is_new:
            self._take_over()

    @property
    def needs_others(self) -> bool:
        """Whether clients can only be served once other brokers have been heard."""
        return self.cluster_group.standing is not Standing.SOLO

    @property
    def runtime(self) -> RaftRuntime | None:
        """The Raft thread's; None while this broker is alone."""
        return self.membership.runtime

    def take_part(self) -> RaftRuntime:
        """The runtime, begun for another broker that opens a link."""
        return self.membership.take_part()

    async def settle(self) -> None:
        """Wait until what recovery found is committed again: at once, or once it is synced.

        Clients would else see a log of flush.messages=1 shorter than it was before a crash.  What
        followers have to fetch first is not waited for: they are not served before this is over.
        """
        waiting: list[asyncio.Future[None]] = []
        for partition in self.replicas.partitions():
            if partition.awaits_own_sync:
                committed: asyncio.Future[None] = self._loop.create_future()
                # A sync that fails takes the partition offline, which is settled too.
                partition.wait_for_high_watermark(
                    partition.log_end_offset, partial(_note_settled, committed)
                )
                waiting.append(committed)
        if waiting:
            await asyncio.wait(waiting)

    def check_disks(self) -> None:
        """See whether the folders are still there, and open logs that waited for room.

        With none left there is nothing to serve: `on_fatal` is told.
        """
        self.log_manager.check_dirs()
        self.replicas.retry_unopened()
        self.log_dir_moves.retry()
        has_none = len(self.log_manager.offline_dirs) == len(self.log_manager.log_dirs)
        if has_none and self.on_fatal is not None:
            self.on_fatal("every folder of log.dirs is offline")

    def close(self, *, clean: bool = True) -> None:
        """Close every log and the journal; a clean close leaves the marker that spares a scan."""
        if self._is_open:
            self._is_open = False
            if hasattr(self, "groups"):
                self.groups.close()
            if self.fetchers is not None:
                self.fetchers.close()
            if hasattr(self, "membership"):
                self.membership.close()
            if hasattr(self, "log_dir_moves"):
                self.log_dir_moves.close()
            if hasattr(self, "replicas"):
                self.replicas.close()
            self.log_manager.close(clean=clean and self._decisions_are_kept())
            if hasattr(self, "wal"):
                self.wal.close()
        self.deadlines.close()
        self.worker.close()

    def _decisions_are_kept(self) -> bool:
        """Whether the next start will know what this one had applied.

        A clean stop keeps the incarnation, and with it the seat in an isr.  A replica that forgot
        which leader it follows would be counted by a deposed one, so without this it must come back
        as a new incarnation, which a missing marker of a clean stop brings about.
        """
        if not hasattr(self, "membership") or self.runtime is None:
            return True
        before = self.wal.path
        try:
            self.wal.checkpoint()
        except KafkaStorageError as error:
            logger.warning("the decisions are not kept, this stop is not clean: %s", error)
            return False
        return self.wal.path != before

    # ---- what handlers ask

    @property
    def cluster_id(self) -> str:
        return self.log_manager.cluster_id

    @property
    def controller_id(self) -> int:
        return self.cluster_group.controller_id

    @property
    def cluster_state(self) -> ClusterState:
        return self.cluster_group.state

    @property
    def bootstrap(self) -> str:
        """`host:port` of the first listener, as clients are told it."""
        return self.advertised_listeners[0].address

    def describe_brokers(
        self, listener_name: str, *, names_missing: bool = False
    ) -> list[dict[str, Any]]:
        """Every live broker at the address that clients of `listener_name` reach it by.

        Without a majority of those that agree on the cluster, this broker cannot tell who lives:
        then every registered one, so that its clients find the others.  `names_missing`: also who
        went down a moment ago.  Kafka names it until its session is over; librdkafka gives up at
        once what it had with a broker that is not named any more, and looks for the new leader of
        its partitions a second later.
        """
        told = {listener.name: listener for listener in self.advertised_listeners}
        own = told.get(listener_name, self.advertised_listeners[0])
        brokers = []
        named = self.live_broker_ids()
        is_cut_off = self.is_cut_off
        if names_missing:
            named |= self.gone_within(MISSING_NAMED_MS)
        for registration in self.cluster_state.brokers.values():
            if registration.broker_id not in named and not is_cut_off:
                continue
            is_self = registration.broker_id == self.node_id
            if not is_self:
                brokers.append(_describe_other(registration, listener_name))
                continue
            brokers.append(
                {
                    "node_id": registration.broker_id,
                    "host": own.host,
                    "port": own.port,
                    "rack": registration.rack,
                }
            )
        return brokers

    def gone_within(self, span_ms: int) -> frozenset[int]:
        """Who went down so short a time ago, and is not back."""
        since_ms = self.clock.monotonic_ms() - span_ms
        gone = {each for each, went_ms in self._went_ms.items() if went_ms > since_ms}
        return self._seen.union(gone) - self.live_broker_ids()

    def lost_broker_ids(self) -> frozenset[int]:
        """Who went down a moment ago, or is about to count as down; none where it cannot know."""
        if self.membership.runtime is None:
            return frozenset()
        # In this order: who is torn off no more may be gone by now.
        lost = self.membership.runtime.failing_brokers() | self.gone_within(JUST_LOST_MS)
        return frozenset() if lost and self.is_cut_off else lost

    def live_broker_ids(self) -> frozenset[int]:
        """This broker and those whose links are up."""
        runtime = self.membership.runtime
        if runtime is None:
            return frozenset((self.node_id,))
        return frozenset(runtime.live_brokers())

    @property
    def is_cut_off(self) -> bool:
        """Whether no majority of those that agree on the cluster is up, seen from here."""
        voters = self.cluster_group.voters
        return 2 * len(self.live_broker_ids().intersection(voters)) <= len(voters)

    def partition_state(self, topic: str, index: int) -> PartitionState | None:
        """The newest state of a partition that is known here, whoever holds it."""
        return self.replicas.state_of(topic, index)

    def address_of(self, broker_id: int) -> tuple[str, int] | None:
        """Where another broker is reached; None while it has not registered."""
        registration = self.cluster_state.brokers.get(broker_id)
        return None if registration is None else (registration.host, registration.port)

    def next_fetch_turn(self) -> int:
        """A number that grows with each fetch: where it begins to read."""
        self._fetch_turn += 1
        return self._fetch_turn

    async def propose(self, command: Command) -> Any:
        """The result of a command that the cluster agreed on; raises its ClusterStateError.

        Raises KafkaStorageError where a full disk cannot take what the command asks for.
        """
        if isinstance(command, CreateTopic | CreatePartitions):
            await self._check_room(len(command.assignments))
        for _ in range(PROPOSE_TRIES):
            future: asyncio.Future[Any] = self._loop.create_future()
            self.cluster_group.propose(command, partial(settle, future))
            result = await future
            if not isinstance(result, NotControllerError):
                break
            # Certainly not decided: the cluster elects its Controller, or it has no majority.
            await asyncio.sleep(PROPOSE_AGAIN_S)
        if isinstance(result, ReplicationError):
            raise result
        return result

    async def _check_room(self, log_count: int) -> None:
        """Raise KafkaStorageError where no disk has room for so many new logs; one after another.

        In a cluster from another thread: while this one waited for a disk, nobody would be answered
        and others would take this broker for silent.  Alone it decides at once, in the order of the
        requests, and syncs each decision here anyway.
        """
        async with self._looking_for_room:
            check = self.log_manager.room_check(log_count)
            if self.cluster_group.standing is Standing.SOLO:
                check.look()
            else:
                await self._loop.run_in_executor(None, check.look)
            check.settle()

    def _grow_internal_topics(self) -> None:
        """As the Controller: have more copies of internal topics as brokers come."""
        if not self.cluster_group.is_controller:
            return
        for name in INTERNAL_TOPICS:
            topic = self.cluster_state.topics.get(name)
            if topic is None or topic.targets or self._is_growing:
                continue
            targets = grown_assignments(
                topic.assignments, self.live_registrations(), INTERNAL_REPLICATION_FACTOR
            )
            if targets:
                self._is_growing = True
                seen = tuple((topic.assignments[index], ()) for index, _ in targets)
                command = ReassignPartitions(topic.topic_id, targets, seen)
                self.cluster_group.propose(command, self._internal_topic_grows)

    def _internal_topic_grows(self, result: Any) -> None:
        self._is_growing = False
        if isinstance(result, Exception):
            logger.warning("internal topics keep their copies: %s", result)

    async def create_topic(
        self,
        name: str,
        *,
        partition_count: int | None = None,
        replication_factor: int | None = None,
        assignments: Assignments | None = None,
        configs: Sequence[tuple[str, str]] = (),
    ) -> TopicImage:
        """Create a topic, with this broker's defaults where nothing is said."""
        validate_topic_name(name)
        if assignments is None:
            factor = replication_factor or self.config.default_replication_factor
            assignments = place_partitions(
                self.live_registrations(),
                missing=self.missing_registrations(),
                partition_count=partition_count or self.config.num_partitions,
                replication_factor=factor,
                start_index=int(self.clock.random_float() * len(self.cluster_state.brokers)),
            )
        command = CreateTopic(name, random_uuid(self.clock), assignments, tuple(configs))
        image = await self.propose(command)
        assert isinstance(image, TopicImage), image
        return image

    def live_registrations(self) -> list[BrokerRegistration]:
        """The brokers that new partitions are placed on."""
        live = self.live_broker_ids()
        return [b for b in self.cluster_state.brokers.values() if b.broker_id in live]

    def missing_registrations(self) -> list[BrokerRegistration]:
        """The brokers that are down: new partitions are placed there where the live are too few."""
        live = self.live_broker_ids()
        return [b for b in self.cluster_state.brokers.values() if b.broker_id not in live]

    # ---- what the group coordinator is given

    def _schedule(self, delay_ms: int, callback: Call) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_ms / 1000, callback)

    async def _create_offsets_topic(self) -> None:
        config = self.config
        brokers = max(len(self.live_registrations()), 1)
        try:
            await self.create_topic(
                OFFSETS_TOPIC,
                partition_count=config.offsets_topic_num_partitions,
                replication_factor=min(config.offsets_topic_replication_factor, brokers),
                configs=(
                    ("cleanup.policy", "compact"),
                    ("compression.type", "producer"),
                    ("segment.bytes", str(config.offsets_topic_segment_bytes)),
                ),
            )
        except TopicExistsError:
            return  # another client asked at the same time


def _describe_other(registration: BrokerRegistration, listener_name: str) -> dict[str, Any]:
    """Another broker at its listener of that name, else at its first one."""
    by_name = {name: (host, port) for name, host, port in registration.listeners}
    host, port = by_name.get(listener_name, (registration.host, registration.port))
    return {
        "node_id": registration.broker_id,
        "host": host,
        "port": port,
        "rack": registration.rack,
    }


def _note_settled(future: asyncio.Future[None], _error: BaseException | None) -> None:
    future.set_result(None)
