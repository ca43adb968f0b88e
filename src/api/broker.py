"""`Broker`: what this node owns, put together in the order in which one part needs another.

    log folders locked and loaded -> journal replayed -> partitions led -> groups loaded
    -> sockets accept (api/server does that)

Everything here runs on the loop thread; slow disk work goes to the worker, whose results come back
to the loop.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..core.append_bell import AppendBells
from ..core.clock import Clock, SystemClock
from ..core.kafka_uuid import random_uuid
from ..core.log_manager import LogManager, LogManagerSettings
from ..core.worker import ThreadWorker, Worker
from ..raft.cluster_commands import (
    RESOURCE_BROKER,
    AlterConfigs,
    Assignments,
    Command,
    CreatePartitions,
    CreateTopic,
    RegisterBroker,
)
from ..raft.cluster_group import ClusterGroup
from ..raft.cluster_state import ClusterState
from ..raft.errors import ClusterStateError, TopicExistsError
from ..raft.fetch_sessions import FetchSessions
from ..raft.placement import place_partitions
from ..raft.raft_runtime import RaftRuntime
from ..raft.raft_wal import RaftWal, wal_folder_in
from ..raft.replica_fetcher import FetcherSettings, ReplicaFetchers, SendFetch
from ..raft.replica_manager import ReplicaManager
from ..raft.topic_image import TopicImage
from ..raft.topic_names import validate_topic_name
from .broker_config import BrokerConfig, Listener, with_dynamic_settings
from .coordinator.group_coordinator import GroupCoordinator
from .coordinator.group_hosting import host_groups
from .coordinator.group_settings import GroupSettings
from .coordinator.offsets_topic import OFFSETS_TOPIC
from .coordinator.producer_ids import ProducerIdManager
from .takeover import take_over

Call = Callable[[], None]


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
            ),
            node_id=config.node_id,
        )
        self.on_fatal: Callable[[str], None] | None = None
        self.runtime: RaftRuntime | None = None
        self.wal: RaftWal
        self.cluster_group: ClusterGroup
        self.replicas: ReplicaManager
        self.producer_ids: ProducerIdManager
        self.groups: GroupCoordinator
        self.send_fetch: SendFetch | None = None  # set before `start`
        self.fetchers: ReplicaFetchers | None = None
        self.fetch_sessions = FetchSessions(
            self.clock, max_sessions=config.max_incremental_fetch_session_cache_slots
        )
        self._fetch_turn = 0
        self._is_open = False
        self.on_config_changed: list[Callable[[BrokerConfig], None]] = []

    # ---- life

    def start(self) -> None:
        """Open the folders, replay the journal, lead the partitions; raises what prevents it."""
        try:
            self.log_manager.start()
            self._is_open = True
            self.wal = RaftWal.open(wal_folder_in(self.log_manager.log_dirs))
            self.cluster_group = ClusterGroup(self.wal, broker_id=self.node_id)
            self._take_dynamic_settings()
            self.replicas = ReplicaManager(
                broker_id=self.node_id,
                log_manager=self.log_manager,
                cluster_group=self.cluster_group,
                wal=self.wal,
                clock=self.clock,
                default_config=self.config.log_config,
            )
            self._begin_to_fetch()
            self.producer_ids = ProducerIdManager(self.node_id, self.propose)
            self.groups = host_groups(
                replicas=self.replicas,
                cluster_group=self.cluster_group,
                clock=self.clock,
                schedule=self._schedule,
                settings=_group_settings(self.config),
                create_offsets_topic=self._create_offsets_topic,
            )
            self.cluster_group.add_listener(self._on_command_applied)
            self.replicas.committed_hook_of = AppendBells().ring_of
            self.replicas.start()
            take_over(
                log_manager=self.log_manager,
                cluster_group=self.cluster_group,
                clock=self.clock,
                default_config=self.config.log_config,
            )
        except BaseException:
            self.close(clean=False)
            raise

    def _begin_to_fetch(self) -> None:
        if self.send_fetch is None:  # nobody gave us a way to other brokers
            return
        config = self.config
        self.fetchers = ReplicaFetchers(
            broker_id=self.node_id,
            incarnation=self.replicas.incarnation,
            send_fetch=self.send_fetch,
            schedule=self._schedule,
            settings=FetcherSettings(
                max_wait_ms=config.replica_fetch_wait_max_ms,
                max_bytes=config.replica_fetch_response_max_bytes,
                partition_max_bytes=config.replica_fetch_max_bytes,
                backoff_ms=config.replica_fetch_backoff_ms,
            ),
        )
        self.replicas.on_role_changed = self.fetchers.role_changed

    def _take_dynamic_settings(self) -> None:
        state = self.cluster_group.state
        self.config = with_dynamic_settings(
            self.started_with, state.broker_configs(""), state.broker_configs(self.node_id)
        )

    def _on_command_applied(self, command: Command, result: Any) -> None:
        if isinstance(command, AlterConfigs) and command.resource_type == RESOURCE_BROKER:
            self._take_dynamic_settings()
            self.replicas.set_default_config(self.config.log_config)
            for on_config_changed in self.on_config_changed:
                on_config_changed(self.config)

    def register(self, advertised_listeners: Sequence[Listener]) -> None:
        """Tell the cluster where this broker is reached, now that the ports are known."""
        self.advertised_listeners = tuple(advertised_listeners)
        first = self.advertised_listeners[0]
        command = RegisterBroker(
            self.node_id,
            self.replicas.incarnation,
            first.host,
            first.port,
            self.config.broker_rack,
        )
        self.cluster_group.propose(command)

    async def settle(self) -> None:
        """Wait until what recovery found is committed again: at once, or once it is synced.

        Clients would else see a log of flush.messages=1 shorter than it was before a crash.
        """
        waiting: list[asyncio.Future[None]] = []
        for partition in self.replicas.partitions():
            if partition.is_leader and partition.high_watermark < partition.log_end_offset:
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
            if hasattr(self, "replicas"):
                self.replicas.close()
            self.log_manager.close(clean=clean)
            if hasattr(self, "wal"):
                self.wal.close()
        self.worker.close()

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

    def describe_brokers(self, listener_name: str) -> list[dict[str, Any]]:
        """Every broker at the address that clients of `listener_name` reach it by."""
        told = {listener.name: listener for listener in self.advertised_listeners}
        own = told.get(listener_name, self.advertised_listeners[0])
        brokers = []
        for registration in self.cluster_state.brokers.values():
            is_self = registration.broker_id == self.node_id
            brokers.append(
                {
                    "node_id": registration.broker_id,
                    "host": own.host if is_self else registration.host,
                    "port": own.port if is_self else registration.port,
                    "rack": registration.rack,
                }
            )
        return brokers

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
            self.log_manager.check_room(len(command.assignments))
        future: asyncio.Future[Any] = self._loop.create_future()
        self.cluster_group.propose(command, partial(_settle, future))
        result = await future
        if isinstance(result, ClusterStateError):
            raise result
        return result

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
            assignments = place_partitions(
                list(self.cluster_state.brokers.values()),
                partition_count=partition_count or self.config.num_partitions,
                replication_factor=replication_factor or self.config.default_replication_factor,
                start_index=int(self.clock.random_float() * len(self.cluster_state.brokers)),
            )
        command = CreateTopic(name, random_uuid(self.clock), assignments, tuple(configs))
        image = await self.propose(command)
        assert isinstance(image, TopicImage), image
        return image

    # ---- what the group coordinator is given

    def _schedule(self, delay_ms: int, callback: Call) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_ms / 1000, callback)

    async def _create_offsets_topic(self) -> None:
        config = self.config
        brokers = max(len(self.cluster_state.brokers), 1)
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


def _note_settled(future: asyncio.Future[None], _error: BaseException | None) -> None:
    future.set_result(None)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():  # cancelled when its connection closed
        future.set_result(result)


def _group_settings(config: BrokerConfig) -> GroupSettings:
    return GroupSettings(
        group_min_session_timeout_ms=config.group_min_session_timeout_ms,
        group_max_session_timeout_ms=config.group_max_session_timeout_ms,
        group_max_size=config.group_max_size,
        group_initial_rebalance_delay_ms=config.group_initial_rebalance_delay_ms,
        offsets_retention_minutes=config.offsets_retention_minutes,
        offset_metadata_max_bytes=config.offset_metadata_max_bytes,
        offsets_commit_timeout_ms=config.offsets_commit_timeout_ms,
    )
