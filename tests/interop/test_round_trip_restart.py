"""A broker process that is killed or stopped: what it acknowledged is there when it is back."""

import signal
import time
from pathlib import Path

import pytest

from tests.interop.test_round_trip_confluent import as_record, consume, produce
from tests.support.broker_process import BrokerProcess
from tests.support.in_process_broker import fetch_body
from tests.support.requests import Requester
from tests.support.sample_records import sample_records

# A second is the promise, and 0.2 s are usual; the rest is for a machine that is busy with others.
# What it must not do is wait for the fetch that is held for 60 s.
CLEAN_STOP_WITHIN_S = 40.0


@pytest.fixture
def own_broker(tmp_path: Path) -> BrokerProcess:
    return BrokerProcess(tmp_path, topics={"kept": 1})


def test_sigkill_loses_nothing_that_was_acknowledged(own_broker: BrokerProcess) -> None:
    with own_broker as broker:
        for round_number in range(1, 4):
            produce(broker, "kept", sample_records(), acks="all")
            broker.restart()
            messages = consume(broker, "kept", round_number * len(sample_records()))
            assert [as_record(message) for message in messages] == sample_records() * round_number
            assert [message.offset() for message in messages] == list(range(len(messages)))


def test_topics_and_their_ids_survive_sigkill(own_broker: BrokerProcess) -> None:
    def describe() -> list[tuple[str, bytes, int]]:
        with Requester(broker.port) as client:
            topics = client.ask(3, 12, {"topics": None})["topics"]
            return [(one["name"], one["topic_id"], len(one["partitions"])) for one in topics]

    with own_broker as broker:
        with Requester(broker.port) as client:
            client.create_topics({"wide": 7}, {"retention.ms": "12345"})
        before = describe()
        broker.restart()
        assert describe() == before
        assert {(name, count) for name, _, count in before} >= {("kept", 1), ("wide", 7)}


def test_leader_epoch_grows_with_every_start(own_broker: BrokerProcess) -> None:
    def epoch() -> int:
        with Requester(broker.port) as client:
            topic = client.ask(3, 12, {"topics": [{"name": "kept"}]})["topics"][0]
            value: int = topic["partitions"][0]["leader_epoch"]
            return value

    with own_broker as broker:
        first = epoch()
        broker.restart()
        assert epoch() > first


def test_idempotent_producer_is_remembered_over_sigkill(own_broker: BrokerProcess) -> None:
    from tests.support.in_process_broker import batch_of, produce_body

    batch = batch_of(b"once", producer_id=4000, producer_epoch=0, base_sequence=0)

    def send() -> tuple[int, int]:
        with Requester(broker.port) as client:
            answer = client.ask(0, 9, produce_body("kept", batch))
            partition = answer["responses"][0]["partition_responses"][0]
            return partition["error_code"], partition["base_offset"]

    with own_broker as broker:
        assert send() == (0, 0)
        broker.restart()
        assert send() == (0, 0)
        assert len(consume(broker, "kept", 1)) == 1


def test_sigterm_stops_within_a_second_and_leaves_the_marker(own_broker: BrokerProcess) -> None:
    with own_broker as broker:
        produce(broker, "kept", sample_records())
        with Requester(broker.port) as waiting:
            waiting.send(1, 12, fetch_body("kept", len(sample_records()), max_wait_ms=60_000))
            waiting.send(18, 0, {})
            begun = time.monotonic()
            assert broker.terminate() == 0
            assert time.monotonic() - begun < CLEAN_STOP_WITHIN_S
            assert waiting.is_closed_by_peer()
        assert (broker.data / ".kafka_cleanshutdown").exists()
        broker.start()
        assert len(consume(broker, "kept", len(sample_records()))) == len(sample_records())
        assert not (broker.data / ".kafka_cleanshutdown").exists()


def test_closed_terminal_stops_the_broker_cleanly(own_broker: BrokerProcess) -> None:
    with own_broker as broker:
        assert broker.stop_by(signal.SIGHUP) == 0
        assert (broker.data / ".kafka_cleanshutdown").exists()
        broker.start()
