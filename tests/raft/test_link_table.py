"""Links between brokers over real sockets: opened, refused, pinged, given up, opened again."""

import socket
from collections.abc import Iterator

import pytest

from headrace.raft.broker_life import KnownLife, is_of_old_folder, session_of
from headrace.raft.link_frames import encode_link_frame
from headrace.raft.link_hello import LINK_VERSION, hello_request
from headrace.raft.liveness import Peer
from tests.support.link_stage import LinkStage, Stages


@pytest.fixture
def stages() -> Iterator[Stages]:
    made = Stages()
    yield made
    made.close()


def connect(stages: Stages, dialer: LinkStage, other: LinkStage) -> None:
    dialer.table.set_addresses({other.hello.broker_id: ("127.0.0.1", other.port)})
    both = (dialer, other)
    stages.until(lambda: all(stage.ups for stage in both))


def test_higher_id_dials_and_both_are_up_after_an_answered_frame(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    assert [(peer.broker_id, is_new) for peer, is_new in low.ups] == [(2, True)]
    assert [(peer.broker_id, is_new) for peer, is_new in high.ups] == [(1, True)]
    assert high.table.links[1].is_dialed
    assert not low.table.links[2].is_dialed


def test_lower_id_dials_where_only_it_knows_the_address(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    low.table.set_addresses({2: ("127.0.0.1", high.port)})
    stages.turn(advance_ms=400)
    assert not low.ups
    stages.until(lambda: bool(low.ups and high.ups))
    assert low.table.links[2].is_dialed


def test_where_both_dial_one_link_of_the_higher_id_stays(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    low.table.set_addresses({2: ("127.0.0.1", high.port)})
    stages.turn(advance_ms=490)
    stages.clock.advance(20)
    low.turn()  # dials now, and so does the other
    high.table.set_addresses({1: ("127.0.0.1", low.port)})
    stages.until(lambda: low.table.is_up(2) and high.table.is_up(1))
    for _ in range(50):
        stages.turn()
    assert high.table.links[1].is_dialed
    assert not low.table.links[2].is_dialed
    assert len(high.ups) - len(high.downs) == len(low.ups) - len(low.downs) == 1


def test_name_is_looked_up(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    high.table.set_addresses({1: ("localhost", low.port)})
    stages.until(lambda: bool(high.ups))


def test_frames_arrive_in_order(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    sent = [bytes([number]) * (1 + number * 4000) for number in range(100)]
    for payload in sent:
        assert high.table.send(1, payload)
    stages.until(lambda: len(low.payloads) == len(sent))
    assert low.payloads == [(2, payload) for payload in sent]


def test_a_silent_peer_is_down_and_a_pinging_one_is_not(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    for _ in range(100):
        stages.turn(advance_ms=50)
    assert not high.downs
    stages.all.remove(low)  # it stops, and the kernel keeps its sockets open
    for _ in range(12):
        stages.turn(advance_ms=50)
    assert not high.downs
    stages.turn(advance_ms=50)
    assert [broker_id for broker_id, _ in high.downs] == [1]
    assert not high.table.send(1, b"x")
    for _ in range(100):  # the kernel of a stopped process still accepts connections
        stages.turn(advance_ms=50)
    assert len(high.ups) == 1
    stages.all.append(low)
    stages.until(lambda: len(high.ups) == 2 and low.table.is_up(2))
    assert [is_new for _, is_new in high.ups] == [True, False]


def test_a_peer_is_silent_before_it_is_down_to_who_has_listened(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    clock = stages.clock

    def silent() -> list[int]:
        return sorted(high.table.failing_brokers(clock.monotonic_ms() / 1000))

    stages.turn(advance_ms=50)
    assert silent() == []
    stages.all.remove(low)
    for _ in range(3):
        stages.turn(advance_ms=50)
    assert silent() == []
    for _ in range(3):
        stages.turn(advance_ms=50)
    assert (silent(), high.downs) == ([1], [])
    clock.advance(300)  # this broker did not listen itself: nobody's silence is known
    assert silent() == []
    stages.all.append(low)
    stages.turn()
    stages.until(lambda: silent() == [])
    stages.all.remove(low)
    for _ in range(20):
        stages.turn(advance_ms=50)
    assert (silent(), len(high.downs)) == ([], 1)  # down is not silent


def test_a_link_that_broke_fails_before_it_is_read_and_until_the_broker_is_gone(
    stages: Stages,
) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    seen: list[frozenset[int]] = []
    note_down = high.link_down

    def link_down(peer: Peer, reason: str) -> None:
        seen.append(high.table.failing_brokers(high.now_s))
        note_down(peer, reason)

    high.link_down = link_down  # type: ignore[method-assign]
    assert high.table.failing_brokers(high.now_s) == frozenset()
    low.table.links[2].sock.shutdown(socket.SHUT_RDWR)
    stages.clock.advance(5_000)  # nor does a pause of this broker hide it
    assert (high.table.failing_brokers(high.now_s), high.table.is_up(1)) == ({1}, True)
    high.turn()
    assert seen == [{1}]  # so no moment is left at which it is neither failing nor down
    assert (high.table.failing_brokers(high.now_s), len(high.downs)) == (frozenset(), 1)
    stages.until(lambda: len(high.ups) == 2 and len(low.ups) == 2)
    assert high.table.failing_brokers(high.now_s) == frozenset()


def test_the_lease_lasts_while_everybody_who_is_up_is_sent_something(stages: Stages) -> None:
    low, middle, high = stages.add(1), stages.add(2), stages.add(3)
    high.table.set_addresses({1: ("127.0.0.1", low.port), 2: ("127.0.0.1", middle.port)})
    stages.until(lambda: len(high.ups) == 2 and low.table.is_up(3) and middle.table.is_up(3))
    for _ in range(30):  # the first look comes after a second and a half
        stages.turn(advance_ms=50)
    assert not high.lease.has_overslept(high.now_s)
    stages.clock.advance(500)
    high.table.beat(high.now_s)  # the Raft thread waits for its disk: another one sends
    stages.clock.advance(500)
    assert not high.lease.has_overslept(high.now_s)
    stages.clock.advance(700)
    high.turn()
    assert high.lease.has_overslept(high.now_s)


def test_silence_is_noticed_when_it_has_lasted_and_not_with_the_next_ping(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    heard_s = high.table.links[1].last_heard_s
    look_s = stages.clock.monotonic_ms() / 1000
    for _ in range(20):
        if high.downs:
            break
        now_s, look_s = look_s, high.table.keep_alive(look_s)
    assert high.downs
    assert now_s - heard_s == pytest.approx(0.602)


def test_a_pause_of_this_broker_excuses_a_silent_peer_once(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    stages.turn(advance_ms=50)
    stages.all.remove(low)
    stages.clock.advance(5_000)
    high.table.excuse(5.0)
    stages.turn()
    assert not high.downs
    for _ in range(3):  # it stumbles again and again, and the peer is dead all the same
        stages.clock.advance(300)
        high.table.excuse(0.3)
        stages.turn()
    assert [broker_id for broker_id, _ in high.downs] == [1]
    stages.all.append(low)


def test_a_closed_link_is_dialed_again(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    low.table.links[2].sock.shutdown(socket.SHUT_RDWR)
    stages.until(lambda: len(high.ups) == 2 and len(low.ups) == 2)
    assert len(high.downs) == len(low.downs) == 1


def test_an_overtaken_life_is_refused_and_its_link_ends_once_that_is_known(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    high.introduce_as(wal_id=3, session=session_of(1, 77))
    connect(stages, high, low)
    last = {2: KnownLife(3, session_of(2, 55))}
    low.table.set_addresses({}, {2: KnownLife(3, high.hello.session)})
    stages.turn()
    assert not low.downs
    low.table.set_addresses({}, last)
    assert [broker_id for broker_id, _ in low.downs] == [2]
    high.table.dial("127.0.0.1", low.port, high.results.append)
    stages.until(lambda: bool(high.results))
    assert is_of_old_folder(high.results[0].refusal)
    for _ in range(50):
        stages.turn()
    assert (len(low.ups), low.table.links) == (1, {})
    high.introduce_as(session=session_of(3, 33))
    stages.until(lambda: len(low.ups) == 2)


def test_a_new_life_with_the_id_is_refused_while_the_old_one_lives(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    second = stages.add(2, session=99)
    second.table.set_addresses({1: ("127.0.0.1", low.port)})
    second.table.dial("127.0.0.1", low.port, second.results.append)
    stages.until(lambda: bool(second.results))
    assert second.results[0].refusal == "broker id 2 is taken: another live broker has it"
    for _ in range(50):
        stages.turn()
    assert not second.ups
    assert len(low.ups) == 1
    stages.all.remove(high)
    high.close()
    stages.until(lambda: bool(second.ups))
    assert low.ups[-1][1], "a new session"


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"cluster_id": "other"}, "cluster id other: this broker belongs to c"),
        ({"broker_id": 1}, "broker id 1 is taken: the broker asked has it"),
        ({"link_version": 9}, f"link version 9: this broker speaks {LINK_VERSION}"),
    ],
)
def test_refusals_are_told_in_words(
    stages: Stages, fields: dict[str, int | str], refusal: str
) -> None:
    low, high = stages.add(1), stages.add(2, session=3)
    high.introduce_as(**fields)
    high.table.dial("127.0.0.1", low.port, high.results.append)
    stages.until(lambda: bool(high.results))
    result = high.results[0]
    assert (result.refusal, result.is_reached) == (refusal, True)


def test_a_broker_that_another_cluster_looks_for_is_told_the_way_to_it(
    stages: Stages, caplog: pytest.LogCaptureFixture
) -> None:
    """Its folder was emptied, and as the first of its list it has begun a cluster anew."""
    low, high = stages.add(1), stages.add(2, cluster_id="old")
    high.introduce_as(port=high.port)
    high.table.set_addresses({1: ("127.0.0.1", low.port)})
    stages.until(lambda: any("refused a link" in each for each in caplog.messages))
    (told,) = (each for each in caplog.messages if "refused a link" in each)
    assert "cluster id old: this broker belongs to c; if this broker lost its folder" in told
    assert f"name 127.0.0.1:{high.port} in controller.quorum.bootstrap.servers" in told


def test_a_probe_tells_who_answers_and_leaves_no_link(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2, cluster_id="")
    high.table.dial("127.0.0.1", low.port, high.results.append)
    high.table.dial("127.0.0.1", high.port, high.results.append)
    stages.until(lambda: len(high.results) == 2)
    found = {result.broker_id: result for result in high.results}
    assert (found[1].cluster_id, found[1].refusal) == ("c", "")
    assert found[2].session == high.hello.session, "it recognises itself"
    for _ in range(20):
        stages.turn()
    assert not low.ups
    assert not high.ups


def test_an_answer_that_comes_late_is_waited_for(stages: Stages) -> None:
    """By both sides, so that a busy peer, or one that was stopped, need not be dialed anew."""
    low, high = stages.add(1), stages.add(2)
    stages.all.remove(low)
    high.table.set_addresses({1: ("127.0.0.1", low.port)})
    for _ in range(50):
        stages.turn(advance_ms=50)
    stages.all.append(low)
    stages.until(lambda: high.table.is_up(1) and low.table.is_up(2))
    assert low.accepted_count == 1
    assert not low.downs
    assert not high.downs


def test_a_dialer_that_takes_the_answer_late_is_waited_for(stages: Stages) -> None:
    low, high = stages.add(1), stages.add(2)
    high.table.set_addresses({1: ("127.0.0.1", low.port)})
    stages.until(lambda: low.accepted_count == 1)
    stages.all.remove(high)
    for _ in range(50):
        stages.turn(advance_ms=50)
    assert not low.table.is_up(2)
    stages.all.append(high)
    stages.until(lambda: high.table.is_up(1) and low.table.is_up(2))
    assert low.accepted_count == 1
    assert not low.downs
    assert not high.downs


def test_a_peer_that_never_answers_is_dialed_again(stages: Stages) -> None:
    stage = stages.add(2)
    silent = socket.create_server(("127.0.0.1", 0))
    silent.settimeout(60)
    stage.table.set_addresses({1: silent.getsockname()[:2]})
    stages.turn()
    first, _ = silent.accept()
    for _ in range(40):
        stages.turn(advance_ms=100)
    second, _ = silent.accept()
    for each in (first, second, silent):
        each.close()


def test_an_address_without_a_broker_is_told(stages: Stages) -> None:
    stage = stages.add(1)
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    stage.table.dial("127.0.0.1", port, stage.results.append)
    silent = socket.create_server(("127.0.0.1", 0))
    stage.table.dial("127.0.0.1", silent.getsockname()[1], stage.results.append)
    stages.until(lambda: len(stage.results) == 2)
    silent.close()
    assert not any(result.is_reached for result in stage.results)
    assert "refused" in stage.results[0].refusal
    assert "no answer in time" in stage.results[1].refusal


@pytest.mark.parametrize("name", ["a..b", "x" * 70])
def test_a_name_that_can_be_none_is_told(stages: Stages, name: str) -> None:
    stage = stages.add(1)
    stage.table.dial(name, 9092, stage.results.append)
    stages.until(lambda: bool(stage.results))
    (result,) = stage.results
    assert not result.is_reached
    assert "no address" in result.refusal


def open_raw(stage: LinkStage, other: LinkStage) -> socket.socket:
    """A link of `other`'s making, without its table."""
    raw = socket.create_connection(("127.0.0.1", stage.port))
    raw.sendall(hello_request(other.hello))
    return raw


@pytest.mark.parametrize(
    "garbage",
    [bytes(8), b"\xff" * 64, encode_link_frame(b"x")[:-1] + b"y", b"GET / HTTP/1.1\r\n\r\n"],
)
def test_hostile_bytes_close_the_link_and_nothing_else(stages: Stages, garbage: bytes) -> None:
    low, high, third = stages.add(1), stages.add(2), stages.add(3)
    connect(stages, high, low)
    stages.all.remove(third)
    raw = open_raw(low, third)
    stages.turn()
    raw.sendall(encode_link_frame(b"hello"))
    stages.until(lambda: low.table.is_up(3))
    raw.sendall(garbage)
    stages.until(lambda: bool(low.downs))
    assert [broker_id for broker_id, _ in low.downs] == [3]
    assert low.table.is_up(2)
    raw.close()
    third.close()


def test_a_link_torn_mid_frame_delivers_nothing_of_it(stages: Stages) -> None:
    low, third = stages.add(1), stages.add(3)
    stages.all.remove(third)
    raw = open_raw(low, third)
    stages.turn()
    frame = encode_link_frame(b"z" * 1000)
    raw.sendall(encode_link_frame(b"first") + frame[:500])
    stages.until(lambda: bool(low.payloads))
    raw.close()
    stages.until(lambda: bool(low.downs))
    assert low.payloads == [(3, b"first")]
    third.close()


def test_a_peer_that_does_not_read_is_cut_off(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.raft.broker_link.MAX_OUTBOX_BYTES", 1_000_000)
    low, high = stages.add(1), stages.add(2)
    connect(stages, high, low)
    payload = bytes(256 * 1024)
    sent = 0
    while high.table.send(1, payload):
        sent += 1
        assert sent < 200, "the outbox has no bound"
    assert "not read" in high.downs[0][1]
