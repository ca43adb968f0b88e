"""Several real brokers on free ports that form one cluster; each may be killed, paused, restarted.

With `proxied` every broker is advertised at the port of a `LinkProxy`, through which clients and
peers must go: so a test can cut any pair of brokers, in one direction or in both.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.broker_process import BrokerProcess
from tests.support.history import now_s
from tests.support.link_proxy import LinkProxies
from tests.support.requests import Requester
from tests.support.stored_records import produce

METADATA = 3
METADATA_VERSION = 12
FORMED_WITHIN_S = 60.0
NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS, TOPIC_ALREADY_EXISTS = 6, 19, 36
# Timed out, not the Controller, fewer brokers alive than the topic wants copies.
NOT_NOW = (7, 41, 38)
_POLL_S = 0.02

Wait = Callable[[], bool]


def wait_until(holds: Wait, what: str, *, within_s: float = FORMED_WITHIN_S) -> float:
    """Seconds until `holds()`; AssertionError with `what` where it does not come to hold."""
    pace = threading.Event()
    started = now_s()
    while not holds():
        assert now_s() - started < within_s, f"not within {within_s} s: {what}"
        pace.wait(_POLL_S)
    return now_s() - started


class ClusterProcesses:
    """Brokers 0 to count - 1; all run when the `with` block begins, and know each other."""

    def __init__(
        self,
        folder: Path,
        *,
        count: int = 3,
        config: Mapping[str, str] | None = None,
        proxied: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.proxies = LinkProxies(self.pid_of) if proxied else None
        self.brokers = {
            number: BrokerProcess(folder / f"broker-{number}", environment=environment)
            for number in range(count)
        }
        self._paused: set[int] = set()
        self.ports = {number: self._open_port(number) for number in self.brokers}
        quorum = ",".join(f"127.0.0.1:{port}" for port in self.ports.values())
        for number, broker in self.brokers.items():
            broker.configure(
                {
                    "node.id": str(number),
                    "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.ports[number]}",
                    "controller.quorum.bootstrap.servers": quorum,
                    **(config or {}),
                }
            )

    def _open_port(self, number: int) -> int:
        port = self.brokers[number].port
        return self.proxies.open(number, port) if self.proxies is not None else port

    def __enter__(self) -> Self:
        try:
            self.start(self.brokers)
            self.wait_formed()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        for number in sorted(self._paused):
            self.resume(number)
        for broker in self.brokers.values():
            if broker.is_running:
                broker.kill()
        if self.proxies is not None:
            self.proxies.close()

    @property
    def bootstrap(self) -> str:
        """Every broker, for a client that must live through the death of any."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports.values())

    def pid_of(self, number: int) -> int | None:
        return self.brokers[number].pid_if_running

    @property
    def running(self) -> list[int]:
        return [number for number, broker in self.brokers.items() if broker.is_running]

    # ---- what is done to them

    def start(self, numbers: Iterable[int]) -> None:
        """Start brokers at the same time, as a machine that boots does."""
        failures: list[BaseException] = []

        def start_one(number: int) -> None:
            try:
                self.brokers[number].start()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=start_one, args=(number,)) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self._paused.discard(number)
        self.brokers[number].kill()

    def stop(self, number: int) -> int:
        """SIGTERM; the exit code."""
        return self.brokers[number].terminate()

    def pause(self, number: int) -> None:
        """SIGSTOP: it holds its sockets and answers nothing."""
        os.kill(self.brokers[number].pid, signal.SIGSTOP)
        self._paused.add(number)

    def resume(self, number: int) -> None:
        os.kill(self.brokers[number].pid, signal.SIGCONT)
        self._paused.discard(number)

    # ---- what they say

    def metadata(self, number: int, topics: Iterable[str] | None = None) -> dict[str, Any]:
        """What broker `number` tells a client; its own port, so that no proxy is in between."""
        wanted = None if topics is None else [{"name": name} for name in topics]
        with Requester(self.brokers[number].port, timeout_s=10.0) as requester:
            return requester.ask(
                METADATA, METADATA_VERSION, {"topics": wanted, "allow_auto_topic_creation": False}
            )

    def partitions(self, topic: str, via: int | None = None) -> list[dict[str, Any]]:
        """The partitions of a topic as one running broker tells them, in order; [] if unknown."""
        number = self.running[0] if via is None else via
        (found,) = self.metadata(number, [topic])["topics"]
        return sorted(found["partitions"], key=lambda part: int(part["partition_index"]))

    def leader_of(self, topic: str, index: int = 0, via: int | None = None) -> int:
        """The leader's id, -1 while there is none."""
        return int(self.partitions(topic, via)[index]["leader_id"])

    def wait_led(self, topic: str, index: int = 0) -> int:
        """The leader's id, once the broker that is asked knows one."""
        found = [-1]

        def is_led() -> bool:
            try:
                found[0] = self.leader_of(topic, index)
            except (OSError, ConnectionError, IndexError):
                return False
            return found[0] >= 0

        wait_until(is_led, f"{topic}-{index} has a leader")
        return found[0]

    def produce(self, topic: str, value: bytes) -> None:
        """One record into partition 0, to whoever leads it by now, acknowledged by the isr."""

        def is_acknowledged() -> bool:
            with Requester(self.brokers[self.wait_led(topic)].port) as requester:
                code, _ = produce(requester, topic, value, acks=-1)
            assert code in (0, NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS), code
            return code == 0

        wait_until(is_acknowledged, f"a record in {topic}-0")

    def _knows_all(self, number: int) -> bool:
        try:
            told = self.metadata(number, [])
        except (OSError, ConnectionError):
            return False
        return {broker["node_id"] for broker in told["brokers"]} >= set(self.running)

    def wait_formed(self) -> float:
        """Until every running broker tells of every other."""
        return wait_until(
            lambda: all(self._knows_all(number) for number in self.running),
            f"brokers {self.running} know each other",
        )

    def wait_in_sync(self, topics: Iterable[str], *, within_s: float = FORMED_WITHIN_S) -> float:
        """Until every replica of `topics` is in the isr, as every running broker tells it."""
        names = list(topics)
        return wait_until(
            lambda: all(
                self._is_in_sync(number, name) for number in self.running for name in names
            ),
            f"{names} are in sync",
            within_s=within_s,
        )

    def _is_in_sync(self, number: int, topic: str) -> bool:
        try:
            parts = self.partitions(topic, number)
        except (OSError, ConnectionError):
            return False
        return bool(parts) and all(
            part["leader_id"] >= 0 and set(part["isr_nodes"]) == set(part["replica_nodes"])
            for part in parts
        )

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> None:
        """Create a topic and wait until it is in sync everywhere.

        Asks again, as clients do, where a busy machine kept brokers from hearing each other.
        """
        topic = {
            "name": name,
            "num_partitions": partitions,
            "replication_factor": replication_factor or len(self.brokers),
            "assignments": [],
            "configs": [{"name": key, "value": text} for key, text in (configs or {}).items()],
        }
        asked = {"topics": [topic], "timeout_ms": 30_000, "validate_only": False}
        refusals: list[int] = []

        def is_created() -> bool:
            with Requester(self.brokers[self.running[0]].port) as requester:
                (answer,) = requester.ask(19, 7, asked)["topics"]
            code = int(answer["error_code"])
            if code == TOPIC_ALREADY_EXISTS and refusals:
                return True  # one that nobody answered was carried out all the same
            assert code in (0, *NOT_NOW), answer
            refusals.append(code)
            return code == 0

        wait_until(is_created, f"{name} is created")
        self.wait_in_sync([name])
