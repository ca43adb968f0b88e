"""One broker without sockets and threads: all but network, clock and disks are the real floors.

Its Raft thread is a `turn` that the simulation calls, its loop a queue of calls of which the
simulation runs one after the other; in between another broker may do anything.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from headrace.api.broker import Broker
from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import HeadraceError, KafkaStorageError
from headrace.core.log_config import LogConfig
from headrace.core.log_manager import LogManager
from headrace.core.worker import InlineWorker, _outcome_of
from headrace.raft import broker_identity
from headrace.raft.cluster_commands import Command, RegisterBroker
from headrace.raft.cluster_group import Standing
from headrace.raft.cluster_state import ClusterState
from headrace.raft.errors import ClusterStateError
from headrace.raft.fetch_sessions import FetchSessions
from headrace.raft.group_host import GroupHost
from headrace.raft.group_machines import PartitionMachine
from headrace.raft.loop_mail import LoopMail
from headrace.raft.partition import Partition
from headrace.raft.partition_state import PartitionState, decode_partition_command
from headrace.raft.raft_runtime import RaftRuntime
from headrace.raft.raft_wal import RaftWal, wal_folder_in
from headrace.raft.replica_fetcher import FetcherSettings, ReplicaFetchers
from headrace.raft.replica_manager import ReplicaManager
from headrace.raft.replication_quota import ReplicationQuota
from tests.simulation.fetching_broker import FetchingBroker
from tests.simulation.imagined_links import ImaginedLinks
from tests.simulation.in_order import InOrder
from tests.simulation.invariant_broken import InvariantBrokenError

if TYPE_CHECKING:
    from tests.simulation.whole_cluster import Timer, WholeCluster

CLUSTER_ID = "c2ltdWxhdGVkLWNsdXN0ZQ"
CONFIG = LogConfig(segment_bytes=2048, index_interval_bytes=256)
CHECKPOINT_BYTES = 8192

Call = Callable[[], object]


class LaterWorker(InlineWorker):
    """Does each job at once; the loop hears of it when it comes to that."""

    def __init__(self, post: Callable[[Call], object]) -> None:
        super().__init__()
        self._post = post

    def submit(self, job: Any, on_done: Any = None, on_error: Any = None) -> None:
        self._post(_outcome_of(job, on_done, on_error))


class StrictMail(LoopMail):
    """What the loop of a real broker would log and forget ends the history here."""

    def _run_slice(self) -> None:
        logger = logging.getLogger("headrace.raft.loop_mail")
        failures: list[BaseException] = []

        def note(*_: object) -> None:
            import sys

            error = sys.exc_info()[1]
            assert error is not None
            failures.append(error)

        with mock.patch.object(logger, "exception", note):
            super()._run_slice()
        if failures:
            raise failures[0]


class WatchedMachine(PartitionMachine):
    """Tells which states a group's commands lead to."""

    __slots__ = ("_tell",)

    def __init__(self, generation: int, tell: Callable[[Any, PartitionState], None]) -> None:
        super().__init__(generation)
        self._tell = tell

    def apply(self, payload: bytes) -> int:
        outcome = super().apply(payload)
        self._tell(decode_partition_command(payload), self._state)
        return outcome


class TurnedRuntime(RaftRuntime):
    """The Raft thread's work, done when the simulation says so."""

    def __init__(self, broker: "WholeBroker", identity: broker_identity.BrokerIdentity) -> None:
        self._broker = broker
        super().__init__(
            broker_id=broker.broker_id,
            incarnation=identity.incarnation,
            session=identity.session,
            wal=broker.wal,
            clock=broker.cluster.clock,
            post=broker.post,
            on_fatal=broker.fail,
        )

    def _make_host(self, wal: RaftWal) -> tuple[Any, GroupHost]:
        self._mail = StrictMail(self._broker.post, self._wake_if_called)
        links = ImaginedLinks(
            self._broker.cluster.wires, self.broker_id, self, self._broker.check_send
        )
        host = GroupHost(
            broker_id=self.broker_id,
            wal=wal,
            clock=self._clock,
            network=links,
            post=self._mail.add,
        )
        host._awake, host._dirty = cast(Any, InOrder()), cast(Any, InOrder())
        return links, host

    @property
    def links(self) -> ImaginedLinks:
        return cast(Any, self._links)

    @property
    def is_due(self) -> bool:
        """Whether the thread would not wait."""
        return self._idle_s() <= 0 or bool(self.links.inbox)

    @property
    def has_seeds(self) -> bool:
        return self._seeds.pending_count > 0

    def turn(self) -> None:
        """One round of `_run`, and its end where that fails."""
        if self._is_stopping:
            return
        self._broker.had_failed = self._broker.has_failed_wal
        try:
            self._turn()
        except HeadraceError as error:
            self._end(str(error))
            self._settle_calls()

    def open_group(self, group_id: str, **options: Any) -> None:
        make = options.pop("machine_factory")
        tell = partial(self._broker.cluster.note_decision, group_id)
        options["machine_factory"] = lambda: WatchedMachine(make()._generation, tell)
        super().open_group(group_id, **options)


class OrderedDecisions:
    """The cluster's state as this broker has taken it in; the order is the cluster's.

    Stands where `ClusterGroup` stands.
    """

    standing = Standing.VOTER

    def __init__(self, broker: "WholeBroker") -> None:
        self._broker = broker
        self.state = ClusterState()
        self._listeners: list[Callable[[Command, Any], None]] = []
        self._waiting: dict[int, Callable[[Any], None]] = {}
        for command in broker.cluster.decisions[: broker.taken]:
            self._apply(command)

    def add_listener(self, on_applied: Callable[[Command, Any], None]) -> None:
        self._listeners.append(on_applied)

    def propose(self, command: Command, on_done: Callable[[Any], None] | None = None) -> None:
        decisions = self._broker.cluster.decisions
        if on_done is not None:
            self._waiting[len(decisions)] = on_done
        decisions.append(command)

    @property
    def is_behind(self) -> bool:
        return self._broker.taken < len(self._broker.cluster.decisions)

    def take_next(self) -> None:
        """Apply the next decision."""
        number = self._broker.taken
        command = self._broker.cluster.decisions[number]
        self._broker.taken += 1
        result = self._apply(command)
        if not isinstance(result, ClusterStateError):
            for listener in self._listeners:
                listener(command, result)
        on_done = self._waiting.pop(number, None)
        if on_done is not None:
            on_done(result)

    def _apply(self, command: Command) -> Any:
        try:
            return self.state.apply(command)
        except ClusterStateError as error:
            return error


class WholeBroker(FetchingBroker):
    """One broker, in one life after the other."""

    # How a real one stops, and what it does when its disks fail.
    close = cast(Any, Broker.close)
    check_disks = cast(Any, Broker.check_disks)
    _decisions_are_kept = cast(Any, Broker._decisions_are_kept)

    def __init__(self, cluster: "WholeCluster", broker_id: int, *, dir_count: int) -> None:
        self.cluster, self.broker_id = cluster, broker_id
        self.folder = cluster.folder / f"broker-{broker_id}"
        self.log_dirs = [self.folder / f"disk-{number}" for number in range(dir_count)]
        for path in self.log_dirs:
            path.mkdir(parents=True)
        self.boot = 1
        self.session = 0
        self.taken = 0
        self.is_running = False
        self.is_failing = False
        self.is_leaving = False
        self.had_failed = False
        self.loop: deque[Call] = deque()

    # -- life

    def start(self) -> None:
        """Begin the next life, as `Broker.start` does."""
        cluster = self.cluster
        self.is_running = self._is_open = True
        self.is_failing = self.is_leaving = False
        self.on_fatal = self.fail
        self.loop.clear()
        self.worker = LaterWorker(self.loop.append)
        self.log_manager = LogManager(
            self.log_dirs,
            clock=cluster.clock,
            worker=self.worker,
            default_config=CONFIG,
            cluster_id=CLUSTER_ID,
            node_id=self.broker_id,
        )
        self.log_manager.start()
        folder = wal_folder_in(self.log_manager.log_dirs)
        with mock.patch.object(broker_identity, "_read_boot_id", return_value=str(self.boot)):
            identity = broker_identity.load_identity(
                folder, was_clean=self.log_manager.was_clean, clock=cluster.clock
            )
        self.session, self.incarnation = identity.session, identity.incarnation
        self.wal = RaftWal.open(folder, checkpoint_bytes=CHECKPOINT_BYTES)
        self.wal.on_failure = lambda reason: self.loop.append(partial(self.fail, reason))
        self.cluster_group = OrderedDecisions(self)
        self.replicas = ReplicaManager(
            broker_id=self.broker_id,
            log_manager=self.log_manager,
            cluster_group=cast(Any, self.cluster_group),
            wal=self.wal,
            clock=cluster.clock,
            default_config=CONFIG,
            incarnation=identity.incarnation,
        )
        self.log_dir_moves = SimpleNamespace(retry=lambda: None, close=lambda: None)
        self.deadlines = SimpleNamespace(close=lambda: None)  # no request waits here
        self._begin_to_fetch()
        self._take_part(identity)
        self.replicas.start()
        self._register(identity)

    def _register(self, identity: broker_identity.BrokerIdentity) -> None:
        """Once that is decided the cluster's state is the present one."""
        registration = RegisterBroker(
            self.broker_id,
            identity.incarnation,
            "localhost",
            9092,
            None,
            identity.session,
            identity.wal_id,
        )
        self.cluster_group.propose(registration, lambda _: self.replicas.finish_deletions())

    def _begin_to_fetch(self) -> None:
        clock = self.cluster.clock
        quota = partial(ReplicationQuota, broker_id=self.broker_id, clock=clock)
        self.fetchers = ReplicaFetchers(
            broker_id=self.broker_id,
            incarnation=self.incarnation,
            send_fetch=self._send_fetch,
            schedule=self.schedule,
            quota=quota(is_leaders=False),
            settings=FetcherSettings(partition_max_bytes=400, max_bytes=1000, backoff_ms=100),
        )
        self.replicas.on_role_changed = self.fetchers.role_changed
        self.server = cast(
            Any,
            SimpleNamespace(
                replicas=self.replicas,
                fetch_sessions=FetchSessions(clock),
                config=SimpleNamespace(fetch_max_bytes=1 << 20),
                clock=clock,
                leader_quota=quota(is_leaders=True),
            ),
        )

    def _take_part(self, identity: broker_identity.BrokerIdentity) -> None:
        seats = self.replicas.seats
        seats.session, seats.wal_id = identity.session, identity.wal_id
        seats.has_kept_cache, seats.kept_incarnations = identity.has_kept_cache, identity.kept
        runtime = self.runtime = TurnedRuntime(self, identity)
        self.membership = SimpleNamespace(close=runtime.stop)
        runtime.cluster_id = CLUSTER_ID
        runtime.on_seed = seats.seed_arrived
        runtime.introduce(host="localhost", port=9092, rack=None, wal_id=identity.wal_id)
        self.replicas.connect(runtime, self.schedule, session=runtime.session)
        runtime.on_peers_changed.append(self._peers_changed)

    def _peers_changed(self, peers: Any) -> None:
        for broker_id in peers:
            self.fetchers.leader_is_reachable(broker_id)

    def stop(self, *, clean: bool) -> None:
        """End this life: as SIGTERM and a failure do, or as SIGKILL does."""
        self.is_running = False
        if not clean:
            self.runtime._calls.clear()
        self.close(clean=clean)
        self.loop.clear()

    def fail(self, _reason: str) -> None:
        """What the process does next is stop."""
        self.is_failing = True

    # -- what its floors are given

    def post(self, call: Call) -> None:
        if not self.is_running:
            raise RuntimeError("the loop is closed")
        self.loop.append(call)

    def schedule(self, delay_ms: int, call: Callable[[], None]) -> "Timer":
        return self.cluster.schedule(delay_ms, self, call)

    @property
    def has_failed_wal(self) -> bool:
        return self.broker_id in self.cluster.syncs.wal_failed

    def check_send(self) -> None:
        """Raise where the sync failed that should have come before this."""
        if self.has_failed_wal and not self.had_failed:
            raise InvariantBrokenError(
                "NothingLeavesUnsynced", f"broker {self.broker_id} sends behind a failed sync"
            )

    def attempt(self, call: Call) -> None:
        """Run what the loop runs: it goes on behind what a disk refuses, once that has failed."""
        try:
            call()
        except KafkaStorageError:
            if not self.cluster.has_failed_disk(self.broker_id):
                raise

    # -- records

    def partitions(self) -> list[Partition]:
        return list(self.replicas.partitions()) if self.is_running else []

    def append(
        self, partition: Partition, value: bytes, on_done: Callable[[BaseException | None], None]
    ) -> None:
        """One record with acks=all."""
        info = partition.append_records(self._batch_of(value), required_acks=-1)
        partition.wait_for_high_watermark(info.last_offset + 1, on_done)

    def append_unseen(self, partition: Partition, value: bytes) -> None:
        """One record with acks=1: also where too few are in sync, and then nobody may see it."""
        partition.append_records(self._batch_of(value), required_acks=1)

    def _batch_of(self, value: bytes) -> bytes:
        builder = BatchBuilder()
        builder.append_record(timestamp=self.cluster.clock.now_ms(), key=None, value=value)
        return bytes(builder.build())
