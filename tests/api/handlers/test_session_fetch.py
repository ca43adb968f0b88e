"""Fetch sessions as a client sees them (KIP-227)."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.api.wire.headers import encode_request_frame
from headrace.core.record_batch import iter_batches
from tests.support.in_process_broker import InProcessBroker, batch_of, fetch_body, produce_body
from tests.support.requests import Requester


class Session:
    """A client that fetches partitions 0, 1, ... of a topic within a session."""

    def __init__(self, client: Requester, topic: str) -> None:
        self.client, self.topic = client, topic
        self.session_id, self.epoch = 0, 0

    def begin(self, *offsets: int, **fields: Any) -> dict[int, Any]:
        self.session_id, self.epoch = 0, 0
        return self.go_on(*offsets, **fields)

    def go_on(self, *offsets: int, **fields: Any) -> dict[int, Any]:
        """The answers by partition; no offsets: nothing changed."""
        answer = self.client.ask(1, 12, self.body(*offsets, **fields))
        assert answer["error_code"] == 0
        self.session_id = answer["session_id"]
        self.epoch += 1
        return {
            told["partition_index"]: told
            for topic in answer["responses"]
            for told in topic["partitions"]
        }

    def body(self, *offsets: int, **fields: Any) -> dict[str, Any]:
        body = fetch_body(
            self.topic, *offsets, session_id=self.session_id, session_epoch=self.epoch, **fields
        )
        if not offsets:
            body["topics"] = []
        return body


@pytest.fixture
def session(broker: InProcessBroker, client: Requester, topic: str) -> Iterator[Session]:
    name = f"{topic}-in-session"
    broker.create_topic(name, 3)
    yield Session(client, name)
    broker.call(broker.broker.fetch_sessions.close_all)


def produce(client: Requester, topic: str, value: bytes, partition: int = 0) -> None:
    answer = client.ask(0, 9, produce_body(topic, batch_of(value), partition=partition))
    assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0


def values(told: dict[str, Any]) -> list[bytes | None]:
    return [each.value for batch in iter_batches(told["records"]) for each in batch.records()]


def test_first_answer_names_every_partition_and_later_ones_only_those_with_news(
    session: Session,
) -> None:
    assert set(session.begin(0, 0, 0)) == {0, 1, 2}
    assert session.session_id > 0
    assert session.go_on() == {}
    produce(session.client, session.topic, b"a", partition=1)
    news = session.go_on()
    assert {index: values(told) for index, told in news.items()} == {1: [b"a"]}


def test_records_are_told_again_until_the_client_moves_on(session: Session) -> None:
    produce(session.client, session.topic, b"a")
    session.begin(0, 0, 0)
    assert values(session.go_on()[0]) == [b"a"]
    assert session.go_on(1) == {}
    assert session.go_on() == {}


def test_a_moved_high_watermark_is_told_once_without_records(session: Session) -> None:
    session.begin(0, 0, 0)
    produce(session.client, session.topic, b"a")
    told = session.go_on(1)[0]
    assert (told["high_watermark"], bytes(told["records"])) == (1, b"")
    assert session.go_on() == {}


def test_what_an_answer_had_no_room_for_comes_next(session: Session) -> None:
    for index in range(3):
        produce(session.client, session.topic, b"v" * 100, partition=index)
    seen: list[int] = []
    news = session.begin(0, 0, 0, max_bytes=50)
    while len(seen) < 3:
        (index,) = [index for index, told in news.items() if len(told["records"])]
        seen.append(index)
        news = session.go_on(max_bytes=50)
    assert sorted(seen) == [0, 1, 2], "none starves"


def test_a_forgotten_partition_is_told_no_more(session: Session) -> None:
    session.begin(0, 0, 0)
    assert session.go_on(forgotten_topics_data=[{"topic": session.topic, "partitions": [1]}]) == {}
    for index in range(3):
        produce(session.client, session.topic, b"a", partition=index)
    assert set(session.go_on()) == {0, 2}


def test_an_error_is_told_every_time_and_success_afterwards(
    broker: InProcessBroker, session: Session
) -> None:
    session.begin(0, 0, 0)
    assert session.go_on(5)[0]["error_code"] == 1
    assert session.go_on()[0]["error_code"] == 1
    assert session.go_on(0)[0]["error_code"] == 0
    assert session.go_on() == {}
    broker.delete_topic(session.topic)
    assert {told["error_code"] for told in session.go_on().values()} == {3}


def test_a_waiting_request_is_answered_by_news(session: Session, broker: InProcessBroker) -> None:
    session.begin(0, 0, 0)
    answers: list[dict[int, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(session.go_on(max_wait_ms=60_000)))
    waiting.start()
    with broker.requester() as other:
        produce(other, session.topic, b"a", partition=2)
    waiting.join()
    assert {index: values(told) for index, told in answers[0].items()} == {2: [b"a"]}


def test_a_further_request_has_the_waiting_one_answered(session: Session) -> None:
    session.begin(0, 0, 0)
    first = session.client.send(1, 12, session.body(max_wait_ms=60_000))
    session.epoch += 1
    second = session.client.send(1, 12, session.body(0, max_wait_ms=0))
    assert session.client.receive(1, 12, first)["responses"] == []
    assert session.client.receive(1, 12, second)["responses"] == []


def test_answers_keep_their_order_where_one_request_has_another_answered(
    session: Session,
) -> None:
    session.begin(0, 0, 0)
    asked = [(18, 0, {}), (1, 12, session.body(max_wait_ms=60_000))]
    session.epoch += 1
    asked += [(18, 0, {}), (1, 12, session.body(0, max_wait_ms=0)), (18, 0, {})]
    frames = [
        bytes(encode_request_frame(key, version, number, "test", body))
        for number, (key, version, body) in enumerate(asked)
    ]
    session.client.send_bytes(b"".join(frames))  # so they are handled in one turn
    for number, (key, version, _) in enumerate(asked):
        assert session.client.receive(key, version, number)["error_code"] == 0


@pytest.mark.parametrize(("session_id", "epoch_step", "code"), [(1, 0, 70), (None, 1, 71)])
def test_an_unknown_session_and_a_wrong_epoch_are_refused(
    session: Session, session_id: int | None, epoch_step: int, code: int
) -> None:
    session.begin(0, 0, 0)
    session.session_id = session.session_id if session_id is None else session_id
    session.epoch += epoch_step
    answer = session.client.ask(1, 12, session.body())
    assert (answer["error_code"], answer["responses"]) == (code, [])


def test_a_session_cannot_change_from_names_to_ids(
    session: Session,
) -> None:
    session.begin(0, 0, 0)
    assert session.client.ask(1, 13, session.body())["error_code"] == 106


def test_a_session_ends_when_it_is_told_to_or_empty(
    session: Session, broker: InProcessBroker
) -> None:
    session.begin(0, 0, 0)
    session.epoch = -1
    assert set(session.go_on(0)) == {0}
    assert session.session_id == 0
    session.begin(0)
    forgotten = [{"topic": session.topic, "partitions": [0]}]
    assert session.go_on(forgotten_topics_data=forgotten) == {}
    assert session.session_id == 0
    assert broker.call(len, broker.broker.fetch_sessions) == 0


@pytest.mark.parametrize("max_wait_ms", [0, 1])
def test_a_session_without_room_leaves_nobody_waiting_behind_its_answer(
    session: Session, broker: InProcessBroker, monkeypatch: pytest.MonkeyPatch, max_wait_ms: int
) -> None:
    monkeypatch.setattr(broker.broker.fetch_sessions, "_max_sessions", 0)
    partition = broker.broker.replicas.partition(session.topic, 0)
    for _ in range(3):
        assert session.begin(0, 0, 0, max_wait_ms=max_wait_ms)[0]["error_code"] == 0
        assert session.session_id == 0
    assert broker.call(len, partition._fetch_waiters) == 0
