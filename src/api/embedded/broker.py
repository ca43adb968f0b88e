"""`Broker`: the whole server inside this process, on a thread of its own; made for tests."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import Self

from ...core.errors import HeadraceError, LogClosedError
from ...core.log_dir import LogDir
from ...core.record import Record
from ..broker_config import make_broker_config
from ..server.serve import Server, new_event_loop
from .durability import PAGE_CACHE, parse_durability
from .faults import Faults
from .inputs import config_text
from .log_store import LogStore
from .power_loss import SyncedOffsets, drop_unsynced, synced_offsets
from .record_watch import Pattern, RecordPattern, RecordWatch
from .served_node import ServedNode
from .shifted_clock import ShiftedClock
from .topic import Topic

HOST = "127.0.0.1"
# A test's groups need not wait for members, nor spread their offsets over 50 partitions.
_QUICK_SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
}


class Broker:
    """A broker on 127.0.0.1, from `start` to `stop`; a context manager, `async with` too.

        with headrace.Broker(topics={"clicks": 4}) as broker:
            run_my_producer(bootstrap_servers=broker.bootstrap)
            broker.assert_produced("clicks", value=b"hello", timeout=1)

    Every method is for any thread but the broker's own.  `faults` makes requests fail, wait or
    vanish.
    """

    def __init__(
        self,
        data: str | Path | None = None,
        *,
        port: int = 0,
        topics: Mapping[str, int] | Iterable[str] = (),
        config: Mapping[str, object] | None = None,
    ) -> None:
        """Nothing runs before `start`.

        `data`: the folder, kept; None takes a temporary one that goes with the broker.  `port` 0
        takes a free one.  `topics`: names and their partition counts, made if they are not there.
        `config`: Kafka's broker settings over ours.
        """
        counts = topics.items() if isinstance(topics, Mapping) else ((name, 1) for name in topics)
        self._topics = tuple(counts)
        self._given = {name: config_text(value) for name, value in (config or {}).items()}
        self.faults = Faults()
        self._clock = ShiftedClock()
        self._data = None if data is None else Path(data).absolute()
        self._temporary: Path | None = None
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._server: Server
        self._node: ServedNode
        self._stop_event: asyncio.Event
        self._is_stop_clean = True
        self._started = threading.Event()
        self._synced: SyncedOffsets = {}
        self._failure: BaseException | None = None

    # -- life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    def __repr__(self) -> str:
        return f"<Broker {self.bootstrap}>" if self.is_running else "<Broker, stopped>"

    @property
    def is_running(self) -> bool:
        """Whether it serves."""
        return self._thread is not None

    def start(self) -> None:
        """Serve; returns once clients can connect.  Raises what kept it from starting.

        That is LogDirLockedError, InvalidConfigError, OSError for a port that is taken, and so on.
        """
        if self._thread is not None:
            raise HeadraceError("the broker runs already; stop it first")
        self._started.clear()
        self._failure = None
        self._is_stop_clean = True
        thread = threading.Thread(target=self._serve, name="headrace-broker", daemon=True)
        thread.start()
        self._started.wait()
        if self._failure is not None:
            thread.join()
            self._remove_temporary()
            raise self._failure
        self._port = self._server.port
        self._thread = thread

    def stop(self) -> None:
        """Answer what is due, close the logs, remove a temporary folder; idempotent."""
        self._end(is_clean=True)
        self._remove_temporary()

    def restart(self) -> None:
        """Stop and start again on the same folder and port."""
        self._end(is_clean=True)
        self.start()

    # -- faults

    def crash(self, *, lose_unflushed: bool = False) -> None:
        """Stop without a last word, as a killed process does, and start again on the same port.

        With `lose_unflushed` the records that were not synced are gone, as after a power cut.
        """
        node = self._running()
        # A start after a crash knows less of what was synced than the broker that crashed.
        self._synced = node.run(lambda: synced_offsets(node.replicas, self._synced))
        self._end(is_clean=False)
        if lose_unflushed:
            drop_unsynced(self._synced, self._clock)
        self.start()

    def advance_clock(self, milliseconds: int) -> None:
        """Let the broker's clock jump ahead, and retention and offset expiry look at it at once.

        Time-outs of requests and sessions run on the machine's own time.
        """
        self._clock.advance(milliseconds)
        broker = self._server.broker
        self._running().run(broker.log_manager.enforce_retention)
        self._running().run(lambda: broker.groups.expire_offsets(broker.clock.now_ms()))

    def depose_leader(self, topic: str, partition: int = 0) -> None:
        """Refuse to lead the partition: clients are told NOT_LEADER_OR_FOLLOWER."""
        node = self._running()
        node.run(lambda: node.replicas.partition(topic, partition).stop())

    def restore_leader(self, topic: str, partition: int = 0) -> None:
        """Lead the partition again."""
        node = self._running()
        node.run(lambda: node.replicas.partition(topic, partition).state_changed())

    def force_rebalance(self, group: str) -> None:
        """Have every member of a consumer group join anew."""
        groups = self._server.broker.groups
        self._running().run(lambda: groups.force_rebalance(group))

    # -- where it is

    @property
    def port(self) -> int:
        """The port it listens on."""
        self._running()
        return self._port

    @property
    def bootstrap(self) -> str:
        """What clients take as `bootstrap.servers`: host:port."""
        return f"{HOST}:{self.port}"

    @property
    def data(self) -> Path:
        """The folder."""
        return self._running().path

    @property
    def store(self) -> LogStore:
        """The same topics without a socket: what clients produce can be read here, and vice versa.

        Closing it does nothing; it stops with the broker.
        """
        return LogStore(self._running(), parse_durability(PAGE_CACHE))

    # -- topics and records

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, object] | None = None
    ) -> Topic:
        """A topic, made now or there already; see `LogStore.topic`."""
        return self.store.topic(name, partitions=partitions, config=config)

    def records(self, topic: str) -> list[Record]:
        """Every record of the topic, partition by partition; raises for an unknown topic."""
        return [record for view in self.store[topic].scan() for record in view]

    def wait_for_records(self, topic: str, count: int = 1, *, timeout: float = 1.0) -> list[Record]:
        """The topic's records once there are `count`; AssertionError after `timeout` [s]."""
        watch = self._watch(topic)
        if not watch.wait_for_count(count, timeout):
            raise AssertionError(f"no {count} records within {timeout} s: {watch.describe()}")
        return [record for _, record in watch.records]

    def assert_produced(
        self,
        topic: str,
        *,
        value: Pattern = ...,
        key: Pattern = ...,
        headers: Mapping[str, str | bytes | None] | EllipsisType = ...,
        partition: int | EllipsisType = ...,
        timeout: float = 1.0,
    ) -> Record:
        """The first record of the topic that is as described, waited for up to `timeout` [s].

        What is left out may be anything; text stands for its UTF-8, a function gets the bytes and
        says yes or no.  The topic may come later, too.  AssertionError shows what came instead.
        """
        pattern = RecordPattern(value, key, headers, partition)
        watch = self._watch(topic)
        record = watch.find(pattern, timeout)
        if record is None:
            raise AssertionError(
                f"{pattern} was not produced within {timeout} s: {watch.describe()}"
            )
        return record

    def assert_nothing_produced(self, topic: str) -> None:
        """AssertionError where the topic has a record by now."""
        watch = self._watch(topic)
        watch.read_more()
        if watch.records:
            raise AssertionError(f"nothing was expected, but {watch.describe()}")

    def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        """The offset that a consumer group has committed; None where it has none."""
        node = self._running()
        groups = self._server.broker.groups
        offsets = node.run(lambda: dict(groups.fetch_offsets(group)))
        found = offsets.get((topic, partition))
        return None if found is None else found.offset

    def reset(self) -> None:
        """Delete every topic, consumer group and fault, so that the next test begins afresh."""
        self.faults.clear()
        self._running().run(self._remove_groups)
        store = self.store
        for name in list(store):
            store.delete_topic(name)

    # -- the broker's thread

    def _serve(self) -> None:
        self._loop = new_event_loop()
        try:
            self._loop.run_until_complete(self._serve_until_stopped())
        except BaseException as error:
            self._failure = error
            self._started.set()
        finally:
            self._loop.close()

    async def _serve_until_stopped(self) -> None:
        self._stop_event = asyncio.Event()
        data = self._data or self._make_temporary()
        server = Server(
            make_broker_config(self._settings(data)),
            clock=self._clock,
            wrap_routes=self.faults.wrap_routes,
        )
        await server.start(self._topics)
        self._server = server
        self._node = ServedNode(server, self._loop, data)
        self._started.set()
        await self._stop_event.wait()
        self._node.stop()
        await asyncio.sleep(0)  # what stores have posted is answered
        await server.stop(clean=self._is_stop_clean)

    def _settings(self, data: Path) -> dict[str, str]:
        settings = {
            **_QUICK_SETTINGS,
            "listeners": f"PLAINTEXT://{HOST}:{self._port}",
            "log.dirs": str(data),
        }
        meta = LogDir(data).read_meta() if data.exists() else None
        if meta is not None:
            settings["node.id"] = str(meta.node_id)
        return {**settings, **self._given}

    def _end(self, *, is_clean: bool) -> None:
        thread = self._thread
        if thread is None:
            return
        self._thread = None
        self._is_stop_clean = is_clean
        self._loop.call_soon_threadsafe(self._stop_event.set)
        thread.join()
        if self._failure is not None:
            raise self._failure

    def _remove_groups(self) -> None:
        groups = self._server.broker.groups
        for group in groups.groups():
            leaving = [
                (member.member_id, member.group_instance_id) for member in group.members.values()
            ]
            if leaving:
                groups.leave_group(group.group_id, leaving)
            groups.delete_group(group.group_id)

    def _make_temporary(self) -> Path:
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="headrace-"))
        return self._temporary

    def _remove_temporary(self) -> None:
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            shutil.rmtree(temporary)

    def _running(self) -> ServedNode:
        if self._thread is None:
            raise LogClosedError(
                "the broker is not running; use it as a context manager, or start()"
            )
        return self._node

    def _watch(self, topic: str) -> RecordWatch:
        return RecordWatch(self._running(), self.store, topic)
