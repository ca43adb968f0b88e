"""The in-process broker: its life, its store, its assertions."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

import headrace
from headrace.core.errors import (
    HeadraceError,
    InvalidConfigError,
    LogClosedError,
    LogDirLockedError,
)
from headrace.raft.errors import UnknownTopicOrPartitionError

DEADLINE_S = 60


@pytest.fixture(scope="module")
def shared() -> Iterator[headrace.Broker]:
    with headrace.Broker() as running:
        yield running


@pytest.fixture
def broker(shared: headrace.Broker) -> Iterator[headrace.Broker]:
    yield shared
    shared.reset()


def produce(broker: headrace.Broker, topic: str, *values: bytes, key: bytes | None = None) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for value in values:
        producer.produce(topic, value, key=key, headers=[("h", b"1")])
    assert producer.flush(DEADLINE_S) == 0


def test_a_client_produces_and_the_store_reads_without_a_socket(broker: headrace.Broker) -> None:
    produce(broker, "clicks", b"a", b"b", key=b"user-1")
    view = broker.store["clicks"].read()
    assert (view.to_pylist(), view.keys.to_pylist()) == ([b"a", b"b"], [b"user-1"] * 2)
    assert [record.value for record in broker.records("clicks")] == [b"a", b"b"]


def test_the_store_appends_and_a_waiting_client_is_woken(broker: headrace.Broker) -> None:
    clicks = broker.create_topic("clicks")
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "readers",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10_000,
        }
    )
    try:
        consumer.subscribe(["clicks"])
        clicks.append(b"first")
        assert consumer.consume(1, DEADLINE_S)[0].value() == b"first"
        clicks.append_many([b"second", b"third"])
        values = [message.value() for message in consumer.consume(2, DEADLINE_S)]
        assert values == [b"second", b"third"]
        consumer.commit(asynchronous=False)
        assert broker.committed("readers", "clicks") == 3
        assert broker.committed("readers", "other") is None
    finally:
        consumer.close()


def test_a_record_that_was_produced_is_found_by_what_it_is(broker: headrace.Broker) -> None:
    produce(broker, "clicks", b"a", b"b", key=b"user-1")
    found = broker.assert_produced("clicks", value="b", key=b"user-1", headers={"h": "1"})
    assert (found.offset, found.value) == (1, b"b")
    assert broker.assert_produced("clicks").offset == 0
    longer = broker.assert_produced("clicks", value=lambda value: value > b"a", partition=0)
    assert longer.value == b"b"


def test_an_assertion_waits_for_the_topic_and_for_the_record(broker: headrace.Broker) -> None:
    released = threading.Event()

    def produce_later() -> None:
        released.wait(DEADLINE_S)
        produce(broker, "later", b"not this")
        produce(broker, "later", b"this")

    thread = threading.Thread(target=produce_later)
    thread.start()
    released.set()
    assert broker.assert_produced("later", value=b"this", timeout=DEADLINE_S).offset == 1
    thread.join()
    assert len(broker.wait_for_records("later", 2)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": b"c"},
        {"key": b"user-2"},
        {"key": None},
        {"headers": {"h": b"2"}},
        {"partition": 1},
    ],
)
def test_a_failed_assertion_shows_what_was_there(
    broker: headrace.Broker, wrong: dict[str, object]
) -> None:
    broker.store.topic("clicks").append(b"a" * 100, key=b"user-1", headers={"h": b"1"})
    with pytest.raises(AssertionError) as caught:
        broker.assert_produced("clicks", timeout=0.01, **wrong)  # type: ignore[arg-type]
    message = str(caught.value)
    name, wanted = next(iter(wrong.items()))
    assert f"{name}={wanted!r}" in message
    assert "0@0 key=b'user-1'" in message
    assert "(100 bytes)" in message


def test_an_assertion_about_no_topic_says_so(broker: headrace.Broker) -> None:
    with pytest.raises(AssertionError, match="there is no topic clicks"):
        broker.assert_produced("clicks", timeout=0.01)
    broker.assert_nothing_produced("clicks")
    broker.create_topic("clicks")
    with pytest.raises(AssertionError, match="clicks has no records"):
        broker.wait_for_records("clicks", timeout=0.01)
    broker.assert_nothing_produced("clicks")
    produce(broker, "clicks", b"a")
    with pytest.raises(AssertionError, match="value=b'a'"):
        broker.assert_nothing_produced("clicks")
    with pytest.raises(UnknownTopicOrPartitionError):
        broker.records("other")


def test_reset_leaves_neither_topics_nor_groups(broker: headrace.Broker) -> None:
    produce(broker, "clicks", b"a")
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "readers",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe(["clicks"])
        assert consumer.consume(1, DEADLINE_S)
        consumer.commit(asynchronous=False)
        broker.reset()  # with the member still there
        assert list(broker.store) == []
        assert broker.committed("readers", "clicks") is None
    finally:
        consumer.close()


def test_topics_and_settings_are_given_at_the_start(tmp_path: Path) -> None:
    config = {"auto.create.topics.enable": False, "num.partitions": 5}
    with headrace.Broker(tmp_path, topics={"clicks": 3}, config=config) as broker:
        assert broker.data == tmp_path
        assert len(broker.store["clicks"].partitions) == 3
        producer = Producer({"bootstrap.servers": broker.bootstrap, "message.timeout.ms": 1000})
        errors = []
        producer.produce("other", b"a", on_delivery=lambda error, _: errors.append(error))
        producer.flush(DEADLINE_S)
        assert errors[0] is not None
        assert "other" not in broker.store
    with headrace.Broker(topics=["a", "b"]) as broker:
        assert list(broker.store) == ["a", "b"]


def test_the_folder_goes_with_a_temporary_broker_and_stays_with_a_named_one(
    tmp_path: Path,
) -> None:
    with headrace.Broker() as broker:
        temporary = broker.data
        assert temporary.is_dir()
    assert not temporary.exists()
    with headrace.Broker(tmp_path / "data", topics=["clicks"]) as broker:
        produce(broker, "clicks", b"a")
        with pytest.raises(LogDirLockedError):
            headrace.open(tmp_path / "data")
    with headrace.open(tmp_path / "data") as store:
        assert store["clicks"].read().to_pylist() == [b"a"]


def test_a_restart_keeps_data_and_port() -> None:
    with headrace.Broker(topics=["clicks"]) as broker:
        produce(broker, "clicks", b"a")
        before = broker.bootstrap
        store = broker.store
        broker.restart()
        assert broker.bootstrap == before
        produce(broker, "clicks", b"b")
        assert [record.value for record in broker.records("clicks")] == [b"a", b"b"]
        with pytest.raises(LogClosedError, match="stopped"):
            store["clicks"]


def test_a_stopped_broker_refuses_and_may_start_again() -> None:
    broker = headrace.Broker()
    for refused in (lambda: broker.bootstrap, lambda: broker.store, lambda: broker.records("a")):
        with pytest.raises(LogClosedError, match="not running"):
            refused()
    broker.start()
    with pytest.raises(HeadraceError, match="runs already"):
        broker.start()
    store = broker.store
    broker.stop()
    broker.stop()
    assert not broker.is_running
    with pytest.raises(LogClosedError):
        store.topic("clicks")
    broker.start()
    produce(broker, "clicks", b"a")
    broker.stop()


def test_what_keeps_it_from_starting_is_raised_and_nothing_is_left() -> None:
    before = set(threading.enumerate())
    with pytest.raises(InvalidConfigError, match=r"num\.partitions"):
        headrace.Broker(config={"num.partitions": "many"}).start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        broker = headrace.Broker(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            broker.start()
    broker.start()
    broker.stop()
    assert set(threading.enumerate()) <= before


def test_several_brokers_run_beside_each_other() -> None:
    with headrace.Broker() as first, headrace.Broker() as second:
        produce(first, "clicks", b"first")
        produce(second, "clicks", b"second")
        assert [record.value for record in first.records("clicks")] == [b"first"]
        assert [record.value for record in second.records("clicks")] == [b"second"]


def test_it_is_an_async_context_manager() -> None:
    async def use() -> list[bytes | None]:
        async with headrace.Broker() as broker:
            await asyncio.to_thread(produce, broker, "clicks", b"a")
            return broker.store["clicks"].read().to_pylist()

    assert asyncio.run(use()) == [b"a"]


def test_many_threads_use_the_store_of_a_broker(broker: headrace.Broker) -> None:
    clicks = broker.create_topic("clicks", 2)

    def append(worker: int) -> None:
        for number in range(50):
            clicks.append(b"%d:%d" % (worker, number), durability="fsync" if not number else None)

    threads = [threading.Thread(target=append, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = sorted(record.value or b"" for record in broker.records("clicks"))
    assert values == sorted(b"%d:%d" % (w, n) for w in range(4) for n in range(50))


class TestTheUnittestHelper(headrace.BrokerTestCase):
    """Two tests that would see each other's records if the topics were not made anew."""

    broker_topics = {"orders": 2}

    def test_first(self) -> None:
        self._use()

    def test_second(self) -> None:
        self._use()

    def _use(self) -> None:
        assert len(self.broker.store["orders"].partitions) == 2
        self.broker.assert_nothing_produced("orders")
        produce(self.broker, "orders", b"a")
        assert len(self.broker.records("orders")) == 1
