"""Limits under pressure: more connections and more bytes than a broker process will hold."""

import contextlib
import selectors
import threading
from pathlib import Path

from confluent_kafka import Producer

from headrace.api.wire.headers import encode_request_frame
from tests.faults.test_bad_clients import resident_bytes
from tests.support.broker_process import BrokerProcess
from tests.support.raw_client import RawClient
from tests.support.requests import Requester
from tests.support.stored_records import create_topic, fetch_all, make_batch, produce

NONE = 0
MIB = 1 << 20
QUIET_S = 1.0  # nobody's socket took a byte for so long: all that can be sent is sent


def send_what_is_taken(clients: dict[RawClient, memoryview]) -> None:
    """Send on each connection until the broker, and the kernel between, take no more."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_WRITE, client)
        while ready := selector.select(QUIET_S):
            for key, _ in ready:
                client = key.data
                with contextlib.suppress(BlockingIOError):
                    sent = client.socket.send(clients[client][:MIB])
                    clients[client] = clients[client][sent:]
                if not clients[client]:
                    selector.unregister(client.socket)
            if not selector.get_map():
                return


def test_requests_above_queued_max_request_bytes_wait_and_are_all_answered(
    tmp_path: Path,
) -> None:
    """40 clients with 4 MiB each, 160 MiB, where 4 MiB may be queued."""
    config = {"queued.max.request.bytes": str(4 * MIB), "message.max.bytes": str(16 * MIB)}
    with BrokerProcess(tmp_path, config=config) as broker, contextlib.ExitStack() as stack:
        with Requester(broker.port) as requester:
            assert create_topic(requester, "clicks")[0] == NONE
        batch = make_batch(b"x" * (4 * MIB))
        parts = [{"index": 0, "records": batch}]
        topics = [{"name": "clicks", "partition_data": parts}]
        body = {"acks": 1, "timeout_ms": 60_000, "topic_data": topics}
        request = encode_request_frame(0, 9, 1, "heavy", body)
        before = resident_bytes(broker)
        clients = [stack.enter_context(RawClient(broker.port)) for _ in range(40)]
        # All but the last byte, so that nothing can be answered and let go.
        unsent = {client: memoryview(request)[:-1] for client in clients}
        send_what_is_taken(unsent)
        assert len([client for client in clients if not unsent[client]]) < len(clients)
        assert resident_bytes(broker) - before < 40 * MIB

        def finish(client: RawClient) -> None:
            client.socket.settimeout(60)
            client.send_bytes(bytes(unsent[client]) + request[-1:])
            answers.append(client.receive_frame())

        answers: list[bytes] = []
        threads = [threading.Thread(target=finish, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == len(clients)
        assert resident_bytes(broker) - before < 40 * MIB
        with Requester(broker.port) as requester:
            assert produce(requester, "clicks", b"after") == (NONE, len(clients))


def test_clients_above_max_connections_wait_their_turn_and_are_all_served(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, config={"max.connections": "8"}) as broker:
        with contextlib.ExitStack() as stack:
            holding = [stack.enter_context(Requester(broker.port)) for _ in range(8)]
            assert create_topic(holding[0], "clicks")[0] == NONE
            for held in holding:
                assert produce(held, "clicks", b"held")[0] == NONE
            answers: list[int] = []

            def come_and_go(number: int) -> None:
                with Requester(broker.port) as client:
                    answers.append(produce(client, "clicks", b"client %d" % number)[0])

            threads = [threading.Thread(target=come_and_go, args=(each,)) for each in range(40)]
            for thread in threads:
                thread.start()
            for held in holding:  # who is in is served as before
                assert produce(held, "clicks", b"held")[0] == NONE
            assert answers == []
        for thread in threads:
            thread.join()
        assert answers == [NONE] * 40
        with Requester(broker.port) as requester:
            stored = fetch_all(requester, "clicks")
        assert set(stored.values()) == {b"held", *(b"client %d" % each for each in range(40))}
        assert broker.log.read_text().count("max.connections=8 are open already") == 1


def test_a_kafka_client_that_had_to_wait_goes_on_when_another_leaves(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, config={"max.connections": "3"}) as broker:
        with Requester(broker.port) as requester:
            assert create_topic(requester, "clicks")[0] == NONE
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                held = stack.enter_context(Requester(broker.port))
                assert produce(held, "clicks", b"held")[0] == NONE
            producer = Producer({"bootstrap.servers": broker.bootstrap})
            delivered: list[object] = []
            producer.produce(
                "clicks", b"late", on_delivery=lambda error, _: delivered.append(error)
            )
            assert producer.flush(1) == 1
        assert producer.flush(60) == 0
        assert delivered == [None]
