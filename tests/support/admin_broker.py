"""A broker reduced to what the admin handlers ask of it: a real cluster state, no sockets."""

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

from headrace.api.broker_config import BrokerConfig
from headrace.api.changes_awaited import ChangesAwaited
from headrace.api.coordinator.producer_ids import ProducerIdManager
from headrace.api.handlers.context import RequestContext
from headrace.api.wire import codec
from headrace.raft.cluster_commands import Command, RegisterBroker
from headrace.raft.cluster_state import ClusterState
from tests.support.manual_clock import ManualClock

NODE_ID = 1


class AdminBroker:
    """Applies commands at once; `proposed` remembers them."""

    def __init__(self, config: BrokerConfig | None = None) -> None:
        self.config = config or BrokerConfig()
        self.started_with = self.config
        self.clock = ManualClock()
        self.node_id = NODE_ID
        self.controller_id = NODE_ID
        self.cluster_id = "cluster"
        self.cluster_state = ClusterState()
        self.replicas = _NoReplicas()
        self.proposed: list[Command] = []
        self.missing_ids: set[int] = set()
        self.changes = ChangesAwaited(_nobody_decides(), _nobody_decides())
        self.producer_ids = ProducerIdManager(NODE_ID, self.propose)
        self.cluster_state.apply(RegisterBroker(NODE_ID, 1, "localhost", 9092))

    async def propose(self, command: Command) -> Any:
        self.proposed.append(command)
        return self.cluster_state.apply(command)

    def live_broker_ids(self) -> frozenset[int]:
        return frozenset((NODE_ID,))

    def live_registrations(self) -> list[Any]:
        brokers = self.cluster_state.brokers
        return [brokers[each] for each in brokers if each not in self.missing_ids]

    def missing_registrations(self) -> list[Any]:
        return [self.cluster_state.brokers[each] for each in sorted(self.missing_ids)]

    def partition_state(self, topic: str, index: int) -> Any:
        birth = self.cluster_state.topics[topic].birth_of(index)
        return None if birth is None else birth[0]

    def describe_brokers(
        self, listener_name: str, *, names_missing: bool = False
    ) -> list[dict[str, Any]]:
        return [{"node_id": NODE_ID, "host": "localhost", "port": 9092, "rack": None}]


def _nobody_decides() -> Any:
    return SimpleNamespace(add_listener=lambda _call: None, on_state=[])


class _NoReplicas:
    """A broker that holds no partition itself."""

    def find(self, _topic_id: bytes, _index: int) -> None:
        return None


def context(api_key: int, api_version: int) -> RequestContext:
    """The context of a request in this version of an API."""
    return RequestContext(api_key=api_key, api_version=api_version, client_id="test")


async def ask(
    broker: Any, handler: Any, api_key: int, api_version: int, request: dict[str, Any]
) -> dict[str, Any]:
    """The handler's answer as a client of this version reads it: over the wire and back."""
    wired = codec.decode_request(
        api_key, api_version, codec.encode_request(api_key, api_version, request)
    )
    answer = handler(broker, context(api_key, api_version), wired)
    if inspect.isawaitable(answer):
        answer = await answer
    body: dict[str, Any] = codec.decode_response(
        api_key, api_version, codec.encode_response(api_key, api_version, answer)
    )
    return body


def ask_now(
    broker: Any, handler: Any, api_key: int, api_version: int, request: dict[str, Any]
) -> dict[str, Any]:
    """`ask`, with an event loop of its own."""
    return asyncio.run(ask(broker, handler, api_key, api_version, request))
