"""kill -9 of a leader, and a client that asks for the next one before the others can know.

A leader of a topic's partition, or the coordinator of a group.
"""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headrace.api.coordinator.offsets_topic import OFFSETS_TOPIC
from tests.support.broker_process import BrokerProcess
from tests.support.in_process_broker import InProcessBroker
from tests.support.requests import Requester

TOPIC = "clicks"
METADATA, FIND_COORDINATOR = 3, 10
Body = dict[str, Any]
GROUP: Body = {"key_type": 0, "coordinator_keys": ["readers"]}
ASKED: Body = {"topics": [{"name": TOPIC}]}
LEADER = 1
PATIENT = {"headrace.link.silence.ms": "10000"}  # on a busy machine nobody else is elected


class Gate:
    """What the Raft thread stops at before it takes in what happened on its links."""

    def __init__(self, asked: InProcessBroker, monkeypatch: pytest.MonkeyPatch) -> None:
        runtime = asked.broker.runtime
        assert runtime is not None
        wait = runtime._links.wait
        self._is_open = threading.Event()
        self._is_open.set()

        def wait_at_gate(timeout_s: float) -> list[tuple[int, int]]:
            ready = wait(timeout_s)
            self._is_open.wait()
            return ready

        monkeypatch.setattr(runtime._links, "wait", wait_at_gate)

    @contextmanager
    def closed(self) -> Iterator[None]:
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()


def is_answered(client: Requester) -> bool:
    return bool(select.select([client.socket], [], [], 0)[0])


def leader_told(answer: dict[str, Any]) -> int:
    (topic,) = answer["topics"]
    leader: int = topic["partitions"][0]["leader_id"]
    return leader


class Stage:
    """A broker in this process that clients ask, and a topic that one in its own process leads."""

    def __init__(
        self, asked: InProcessBroker, leader: BrokerProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.node, self.leader = asked.broker, leader
        self._asked = asked
        asked.wait_until(lambda: self.node.live_broker_ids() == {0, 1, 2})
        self.gate = Gate(asked, monkeypatch)
        for topic in (TOPIC, OFFSETS_TOPIC):
            asked.run(self.node.create_topic(topic, assignments=((LEADER, 0, 2),)))
            asked.wait_until(partial(self._is_led_and_in_sync, topic))

    def _is_led_and_in_sync(self, topic: str) -> bool:
        state = self.node.partition_state(topic, 0)
        return state is not None and state.leader == LEADER and len(state.isr) == 3

    def tear_link(self) -> None:
        """Neither broker goes; the leader, whose id is higher, dials again at once."""
        runtime = self.node.runtime
        assert runtime is not None
        runtime._links.links[LEADER].sock.shutdown(socket.SHUT_RDWR)

    def ask_and_wait(
        self, client: Requester, key: int = METADATA, version: int = 9, body: Body = ASKED
    ) -> int:
        """The id of a request that is not answered."""
        asking = client.send(key, version, body)
        waits = self.node.leader_waits
        self._asked.wait_until(lambda: len(waits) == 1 or is_answered(client))
        assert not is_answered(client)
        return asking


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr("headrace.api.handlers.leader_wait.MAX_WAIT_MS", 60_000)
    with InProcessBroker(tmp_path / "0", config={"node.id": "0", **PATIENT}) as asked:
        joining = {"controller.quorum.bootstrap.servers": f"127.0.0.1:{asked.port}", **PATIENT}
        with (
            BrokerProcess(tmp_path / "1", config={"node.id": "1", **joining}) as leader,
            BrokerProcess(tmp_path / "2", config={"node.id": "2", **joining}),
        ):
            yield Stage(asked, leader, monkeypatch)


@pytest.fixture
def client(stage: Stage) -> Iterator[Requester]:
    with Requester(stage.node.advertised_listeners[0].port) as client:
        assert leader_told(client.ask(METADATA, 9, ASKED)) == LEADER
        yield client


def test_who_asks_before_the_broken_link_was_read_is_told_the_next_leader(
    stage: Stage, client: Requester
) -> None:
    with stage.gate.closed():
        stage.leader.kill()
        asking = stage.ask_and_wait(client)
    assert leader_told(client.receive(METADATA, 9, asking)) in (0, 2)


def test_who_asks_while_the_link_to_a_living_leader_is_torn_waits_until_it_is_back(
    stage: Stage, client: Requester
) -> None:
    with stage.gate.closed():
        stage.tear_link()
        asking = stage.ask_and_wait(client)
    assert leader_told(client.receive(METADATA, 9, asking)) >= 0
    assert leader_told(client.ask(METADATA, 9, ASKED)) >= 0
    assert len(stage.node.leader_waits) == 0


def test_who_asks_for_a_coordinator_before_the_broken_link_was_read_is_told_the_next_one(
    stage: Stage, client: Requester
) -> None:
    with stage.gate.closed():
        stage.leader.kill()
        asking = stage.ask_and_wait(client, FIND_COORDINATOR, 4, GROUP)
    (found,) = client.receive(FIND_COORDINATOR, 4, asking)["coordinators"]
    assert (found["error_code"], found["key"]) == (0, "readers")
    assert found["node_id"] in (0, 2)
    client.ask(FIND_COORDINATOR, 1, {"key": "readers", "key_type": 0})
    assert len(stage.node.leader_waits) == 0
