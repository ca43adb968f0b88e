"""A whole broker inside the test's process, on a loop of its own thread and a free port."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from headrace.api.broker import Broker
from headrace.api.broker_config import make_broker_config
from headrace.api.server.serve import Server
from headrace.core.batch_builder import BatchBuilder
from headrace.raft.cluster_commands import RESOURCE_TOPIC, AlterConfigs, DeleteTopic
from tests.support.loop_thread import LoopThread
from tests.support.requests import Requester

T = TypeVar("T")


class InProcessBroker:
    """Starts with the `with` block and stops with it; `call` runs on the broker's own thread."""

    def __init__(
        self, folder: Path, *, config: Mapping[str, str] | None = None, loop_kind: str = "asyncio"
    ) -> None:
        self._settings = {
            "listeners": "PLAINTEXT://127.0.0.1:0",
            "log.dirs": str(folder),
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "2",
            "log.segment.bytes": str(1024 * 1024),
            **(config or {}),
        }
        self._thread = LoopThread(loop_kind)
        self.server: Server

    def __enter__(self) -> Self:
        self._thread.__enter__()
        try:
            self._thread.run(self._start())
        except BaseException:
            self._thread.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._thread.run(self.server.stop())
        finally:
            self._thread.__exit__(None, None, None)

    async def _start(self) -> None:
        self.server = Server(make_broker_config(self._settings))
        await self.server.start()

    @property
    def broker(self) -> Broker:
        return self.server.broker

    @property
    def port(self) -> int:
        return self.server.port

    def requester(self) -> Requester:
        """A new connection to it."""
        return Requester(self.port)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        return self._thread.call(function, *arguments)

    def run(self, awaitable: Awaitable[T]) -> T:
        """The result of a coroutine, run there too."""
        return self._thread.run(awaitable)

    def restart(self, *, clean: bool = True) -> None:
        """Stop and start on the same data; the port changes."""
        self._thread.run(self.server.stop(clean=clean))
        self._thread.run(self._start())

    def create_topic(
        self, name: str, partition_count: int = 1, configs: Mapping[str, str] | None = None
    ) -> None:
        self._thread.run(
            self.broker.create_topic(
                name, partition_count=partition_count, configs=tuple((configs or {}).items())
            )
        )

    def configure_topic(self, name: str, configs: Mapping[str, str]) -> None:
        self._thread.run(self.broker.propose(AlterConfigs(RESOURCE_TOPIC, name, configs)))

    def delete_topic(self, name: str) -> None:
        topic_id = self.call(lambda: self.broker.cluster_state.topics[name].topic_id)
        self._thread.run(self.broker.propose(DeleteTopic(topic_id)))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until `condition` holds there."""

        async def turn() -> None:
            while not condition():
                await asyncio.sleep(0.001)

        self._thread.run(turn())


def batch_of(*values: bytes | None, **fields: Any) -> bytes:
    """A batch of records with these values, a key each ("k0", ...) unless `keys` says else."""
    keys = fields.pop("keys", None)
    timestamps = fields.pop("timestamps", None)
    builder = BatchBuilder(**fields)
    for number, value in enumerate(values):
        builder.append_record(
            timestamp=timestamps[number] if timestamps else 1_700_000_000_000 + number,
            key=keys[number] if keys else f"k{number}".encode(),
            value=value,
        )
    return bytes(builder.build())


def produce_body(topic: str, *batches: bytes, acks: int = -1, partition: int = 0) -> dict[str, Any]:
    """A Produce request of one topic; several batches go to partitions from `partition` on."""
    return {
        "acks": acks,
        "timeout_ms": 5000,
        "topic_data": [
            {
                "name": topic,
                "partition_data": [
                    {"index": partition + number, "records": batch}
                    for number, batch in enumerate(batches)
                ],
            }
        ],
    }


def fetch_body(
    topic: str,
    *offsets: int,
    max_wait_ms: int = 0,
    min_bytes: int = 1,
    max_bytes: int = 1 << 24,
    partition_max_bytes: int = 1 << 20,
    **fields: Any,
) -> dict[str, Any]:
    """A Fetch request of one topic, of partitions 0, 1, ... from the given offsets."""
    partition_fields = fields.pop("partition_fields", {})
    return {
        "max_wait_ms": max_wait_ms,
        "min_bytes": min_bytes,
        "max_bytes": max_bytes,
        "topics": [
            {
                **fields.pop("topic_fields", {"topic": topic}),
                "partitions": [
                    {
                        "partition": index,
                        "fetch_offset": offset,
                        "partition_max_bytes": partition_max_bytes,
                        **partition_fields,
                    }
                    for index, offset in enumerate(offsets)
                ],
            }
        ],
        **fields,
    }
