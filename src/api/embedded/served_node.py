"""`ServedNode`: a store's way to the logs of a broker in this process, over the broker's loop."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from ...core.append_bell import AppendBells
from ...core.clock import Clock
from ...core.errors import LogClosedError
from ...raft import ClusterGroup, Partition, ReplicaManager
from ..coordinator.group_coordinator import GroupCoordinator
from ..server.serve import Server
from .flush_wait import FlushWait
from .node import Placed, append_announced
from .watch import PartitionWatch, Watch

T = TypeVar("T")


class ServedNode:
    """Runs what a store asks for on the loop thread, which owns the logs; see `node.Node`."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        """Made on the loop thread, once the server has started."""
        broker = server.broker
        self.path = path
        self.clock: Clock = broker.clock
        self.node_id: int = broker.node_id
        self.cluster_id: str = broker.cluster_id
        self.cluster_group: ClusterGroup = broker.cluster_group
        self.replicas: ReplicaManager = broker.replicas
        self._server = server
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._gate = threading.Lock()
        self._is_closed = False
        self._bells = AppendBells()
        # Set at every decision of the cluster: a topic may have come or gone.
        self.watchers: set[threading.Event] = set()
        self.cluster_group.add_listener(self._tell_watchers)

    @property
    def gate(self) -> None:
        """No record takes the short way: the logs belong to another thread, or process."""
        return None

    def bell_of(self, partition: object) -> None:
        """None: whoever owns the logs rings."""

    def run(self, call: Callable[[], T]) -> T:
        """What `call` gives, called on the loop thread; raises LogClosedError once it stopped."""
        if threading.get_ident() == self._loop_thread:
            return call()
        result: Future[T] = Future()

        def answer() -> None:
            try:
                result.set_result(call())
            except BaseException as error:
                result.set_exception(error)

        # Nothing is posted once `stop` was called, so what was posted is answered before the end.
        with self._gate:
            if self._is_closed:
                raise LogClosedError(f"the broker of {self.path} was stopped; start it again")
            self._loop.call_soon_threadsafe(answer)
        return result.result()

    def append_one(self, partition: Partition, batch: bytearray, origin: str) -> int:
        """Append one batch on the loop thread; its first offset."""
        info = self.run(lambda: partition.append_records(batch, required_acks=1, origin=origin))
        offset: int = info.base_offset
        return offset

    def append_together(
        self, partition: Partition, batches: Iterable[bytearray], origin: str, *, is_synced: bool
    ) -> tuple[Placed, FlushWait | None]:
        """Append batches on the loop thread, all or none; see `Node`."""

        def append() -> tuple[Placed, FlushWait | None]:
            placed = append_announced(partition, batches, origin, self._bells)
            return placed, self.start_flush(partition) if is_synced else None

        return self.run(append)

    def start_flush(self, partition: Partition) -> FlushWait:
        """Have the partition synced on the broker's worker."""
        wait = FlushWait()
        wait.start(partition)
        return wait

    def watch(self, partitions: Sequence[Partition]) -> Watch:
        """To be woken when one of them has more."""
        return PartitionWatch(self, partitions)

    def groups(self) -> GroupCoordinator:
        """The broker's own coordinator."""
        groups: GroupCoordinator = self._server.broker.groups
        if not groups.is_hosted and threading.get_ident() != self._loop_thread:
            self.run(lambda: None)
            asyncio.run_coroutine_threadsafe(groups.ensure_offsets_topic(), self._loop).result()
        return groups

    def check_room(self, partition_count: int) -> None:
        self._server.broker.log_manager.check_room(partition_count)

    def close(self) -> None:
        """Nothing: the logs are the broker's, and stop with it."""

    def _tell_watchers(self, *_decision: Any) -> None:
        for watcher in self.watchers:
            watcher.set()

    def stop(self) -> None:
        """Refuse everything from now on; the broker's, before its loop ends."""
        with self._gate:
            self._is_closed = True
