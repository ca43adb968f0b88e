"""Following a topic: in order, by event, and from where the group stopped."""

import threading
from pathlib import Path

import pytest

import headrace
from headrace.api.coordinator.errors import UnknownMemberIdError
from headrace.core.errors import LogClosedError

DEADLINE_S = 60


def values(topic: headrace.Topic, **settings: object) -> list[bytes | None]:
    """What is there, taken by a tail that ends."""
    with topic.tail(follow=False, **settings) as tail:  # type: ignore[arg-type]
        return [record.value for record in tail]


def test_what_is_there_comes_and_then_what_is_appended(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=3)
    clicks.append_many([b"1", b"2"], partition=0)
    seen: list[bytes | None] = []
    arrived = threading.Semaphore(0)

    def follow() -> None:
        for record in clicks.tail(timeout=DEADLINE_S):
            seen.append(record.value)
            arrived.release()
            if record.value == b"end":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    for _ in range(2):
        assert arrived.acquire(timeout=DEADLINE_S)
    for number in range(3, 9):
        clicks.append(b"%d" % number, partition=number % 3)
        assert arrived.acquire(timeout=DEADLINE_S)
    clicks.append(b"end", partition=1)
    thread.join(DEADLINE_S)
    assert seen == [b"%d" % number for number in range(1, 9)] + [b"end"]


def test_a_group_goes_on_where_it_stopped_also_after_reopening(folder: Path) -> None:
    with headrace.open(folder) as store:
        clicks = store.topic("clicks", partitions=2)
        for number in range(10):
            clicks.append(b"%d" % number, partition=number % 2)
        assert sorted(values(clicks, group="report")) == [b"%d" % n for n in range(10)]
        assert values(clicks, group="report") == []
        assert store.committed("report") == {("clicks", 0): 5, ("clicks", 1): 5}
        assert store.committed("other") == {}
        clicks.append(b"later", partition=1)
    with headrace.open(folder) as store:
        assert values(store["clicks"], group="report") == [b"later"]
        assert len(values(store["clicks"], group="other")) == 11


def test_a_record_counts_once_the_next_is_asked_for(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append_many([b"%d" % number for number in range(5)])
    for record in clicks.tail(group="report"):
        if record.value == b"2":
            break
    assert values(clicks, group="report") == [b"2", b"3", b"4"]


def test_what_failed_comes_again(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append_many([b"good", b"bad", b"good"])

    def process() -> None:
        with clicks.tail(group="report") as tail:
            for record in tail:
                if record.value == b"bad":
                    raise RuntimeError("cannot")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot"):
            process()
    assert store.committed("report") == {("clicks", 0): 1}


def test_commit_counts_the_record_in_hand(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append_many([b"%d" % number for number in range(5)])
    with clicks.tail(group="report") as tail:
        assert next(tail).value == b"0"
        assert next(tail).value == b"1"
        tail.commit()
        assert store.committed("report") == {("clicks", 0): 2}
        assert (tail.partition, tail.positions) == (0, {0: 2})
    assert values(clicks, group="report") == [b"2", b"3", b"4"]
    with clicks.tail() as tail, pytest.raises(ValueError, match="group"):
        tail.commit()


def test_many_records_are_committed_as_they_go(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append_many([b"x"] * 2500)
    tail = clicks.tail(group="report")
    for _ in range(2001):
        next(tail)
    assert store.committed("report") == {("clicks", 0): 2000}
    tail.close()
    assert store.committed("report") == {("clicks", 0): 2000}
    assert list(tail) == []


def test_the_latest_is_what_comes_from_now_on(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append(b"old")
    with clicks.tail(start="latest", timeout=DEADLINE_S) as tail:
        clicks.append(b"new")
        assert next(tail).value == b"new"
    with pytest.raises(ValueError, match="earliest"):
        clicks.tail(start="newest")  # type: ignore[arg-type]


def test_a_tail_ends_after_its_timeout(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append(b"only")
    assert [record.value for record in clicks.tail(timeout=0.01)] == [b"only"]


def test_records_that_are_gone_are_skipped_and_said(
    store: headrace.LogStore, caplog: pytest.LogCaptureFixture
) -> None:
    clicks = store.topic("clicks")
    clicks.append_many([b"%d" % number for number in range(5)])
    store.commit("report", {("clicks", 0): 1})
    clicks.partition(0).truncate_before(3)
    assert values(clicks, group="report") == [b"3", b"4"]
    assert "records 1 to 3 are gone" in caplog.text


def test_closing_the_store_wakes_a_tail(folder: Path) -> None:
    store = headrace.open(folder)
    clicks = store.topic("clicks")
    clicks.append(b"a")
    waiting = threading.Event()
    ended: list[BaseException] = []

    def follow() -> None:
        try:
            for _ in clicks.tail():
                waiting.set()
        except LogClosedError as error:
            ended.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    assert waiting.wait(DEADLINE_S)
    store.close()
    thread.join(DEADLINE_S)
    assert len(ended) == 1


def test_a_broker_shows_and_continues_an_embedded_group(folder: Path) -> None:
    from confluent_kafka import Consumer
    from confluent_kafka.admin import AdminClient

    with headrace.open(folder) as store:
        clicks = store.topic("clicks")
        clicks.append_many([b"0", b"1", b"2"])
        store.commit("report", {("clicks", 0): 1})
    with headrace.Broker(folder) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        listed = admin.list_consumer_groups().result(DEADLINE_S)
        assert [group.group_id for group in listed.valid] == ["report"]
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "report",
                "auto.offset.reset": "error",
            }
        )
        try:
            consumer.subscribe(["clicks"])
            assert consumer.consume(1, DEADLINE_S)[0].value() == b"1"
            with pytest.raises(UnknownMemberIdError, match="members"):
                broker.store.commit("report", {("clicks", 0): 0})
            consumer.commit(asynchronous=False)
        finally:
            consumer.close()
        assert broker.committed("report", "clicks") == 2
    with headrace.open(folder) as store:
        assert values(store["clicks"], group="report") == [b"2"]


def test_a_tail_follows_the_store_of_a_broker() -> None:
    with headrace.Broker(topics=["clicks"]) as broker:
        clicks = broker.store["clicks"]
        with clicks.tail(group="report", timeout=DEADLINE_S) as tail:
            clicks.append(b"a")
            assert next(tail).value == b"a"
            tail.commit()
        assert broker.committed("report", "clicks") == 1
