"""Consumer groups of a folder that no server runs: the broker's own coordinator, without a loop.

Offsets that a program commits here stand in __consumer_offsets as Kafka's, so a broker that serves
the folder later shows the group, and a consumer of that name goes on where the program stopped.
"""

import threading
from collections.abc import Callable

from ...core.clock import Clock
from ...core.kafka_uuid import random_uuid
from ...core.log_manager import LogManager
from ...raft import ClusterGroup, ReplicaManager
from ...raft.cluster_commands import CreateTopic
from ...raft.errors import ClusterStateError
from ..broker_config import BrokerConfig
from ..coordinator.group_coordinator import GroupCoordinator
from ..coordinator.group_hosting import host_groups
from ..coordinator.group_settings import GroupSettings
from ..coordinator.offsets_topic import OFFSETS_TOPIC

Call = Callable[[], None]
RunLocked = Callable[[Call], None]


def host_local_groups(
    *,
    log_manager: LogManager,
    cluster_group: ClusterGroup,
    replicas: ReplicaManager,
    clock: Clock,
    run_locked: RunLocked,
) -> GroupCoordinator:
    """The coordinator of a store, with every group loaded; creates __consumer_offsets.

    To be called, and used, where logs may be touched; `run_locked` is how timers get there.
    """

    def schedule(delay_ms: int, callback: Call) -> "_Timer":
        return _Timer(delay_ms, lambda: run_locked(callback))

    async def create_nothing() -> None:
        """The topic is there already."""

    groups = host_groups(
        replicas=replicas,
        cluster_group=cluster_group,
        clock=clock,
        schedule=schedule,
        settings=GroupSettings(),
        create_offsets_topic=create_nothing,
    )
    if OFFSETS_TOPIC in cluster_group.state.topics:
        for partition in list(replicas.partitions()):
            if partition.is_leader:
                groups.on_partition_online(partition)
    else:
        _create_offsets_topic(log_manager, cluster_group, clock)
    return groups


def _create_offsets_topic(
    log_manager: LogManager, cluster_group: ClusterGroup, clock: Clock
) -> None:
    """With the partitions and settings that a broker gives it."""
    defaults = BrokerConfig()
    count = defaults.offsets_topic_num_partitions
    log_manager.check_room(count)
    configs = (
        ("cleanup.policy", "compact"),
        ("compression.type", "producer"),
        ("segment.bytes", str(defaults.offsets_topic_segment_bytes)),
    )
    assignments = ((cluster_group.broker_id,),) * count
    results: list[object] = []
    cluster_group.propose(
        CreateTopic(OFFSETS_TOPIC, random_uuid(clock), assignments, configs), results.append
    )
    if isinstance(results[0], ClusterStateError):
        raise results[0]


class _Timer:
    """A call in `delay_ms`; at once where that is 0, as there is no loop to give a turn to."""

    def __init__(self, delay_ms: int, call: Call) -> None:
        self._thread: threading.Timer | None = None
        if delay_ms <= 0:
            call()
            return
        self._thread = threading.Timer(delay_ms / 1000, call)
        self._thread.daemon = True
        self._thread.start()

    def cancel(self) -> None:
        """Do not call, if it was not called yet."""
        if self._thread is not None:
            self._thread.cancel()
