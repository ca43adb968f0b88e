"""Three Raft threads over loopback sockets: decide, survive, elect, forward, seed."""

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import KafkaStorageError
from headrace.raft.errors import GroupSealedError, NotControllerError, UnknownOutcomeError
from headrace.raft.link_messages import LinkMessage
from headrace.raft.message_codec import MAX_ARRAY
from headrace.raft.proposal_router import ProposalRouter
from headrace.raft.seed_sender import base_id_of_seed
from tests.support.raft_stage import RaftStage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RaftStage]:
    with RaftStage(tmp_path) as running:
        yield running


def test_a_proposal_is_decided_and_told_to_every_voter(stage: RaftStage) -> None:
    stage.open_group("g", (1, 2, 3))
    outcomes = [stage.nodes[1].propose("g", b"%d" % number) for number in range(5)]
    assert [result for _, result in outcomes] == [1, 2, 3, 4, 5]
    stage.wait_for_state("g", (b"0", b"1", b"2", b"3", b"4"))
    for node in stage.nodes.values():
        applied = node.views["g"].applied
        assert applied[0][1:] == (None, None, ()), "the state it was opened with"
        decided = [(index, result) for index, payload, result, _ in applied[1:] if payload]
        assert decided == outcomes


def test_any_voter_and_any_broker_may_propose(tmp_path: Path) -> None:
    with RaftStage(tmp_path, (1, 2, 3, 4)) as stage:
        stage.open_group("g", (1, 2, 3))
        results = [node.propose("g", b"x")[1] for node in stage.nodes.values()]
        assert results == [1, 2, 3, 4]


def test_two_lives_of_a_broker_never_number_a_proposal_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[int] = []
    serve = ProposalRouter.serve

    def note(router: ProposalRouter, from_id: int, group_id: str, number: int, *rest: Any) -> None:
        numbers.append(number)
        serve(router, from_id, group_id, number, *rest)

    monkeypatch.setattr(ProposalRouter, "serve", note)
    with RaftStage(tmp_path, (1, 2)) as stage:
        stage.open_group("g", (1,))
        assert stage.nodes[2].propose("g", b"a")[1] == 1
        stage.stop(2)
        again = stage.start(2)
        stage.connect()
        assert again.propose("g", b"b")[1] == 2
    assert len(set(numbers)) == 2, "else it takes the outcome of what it no longer waits for"


def test_a_proposal_waits_for_the_first_controller(stage: RaftStage) -> None:
    done: list[Any] = []
    told = threading.Event()

    def note(outcome: object) -> None:
        done.append(outcome)
        told.set()

    stage.nodes[3].runtime.propose("g", b"early", note)
    stage.open_group("g", (1, 2, 3))
    assert told.wait(60)
    assert done[0][1] == 1


def test_without_a_controller_a_proposal_ends_at_its_deadline(stage: RaftStage) -> None:
    stage.nodes[1].open_group("g", (1, 2, 3), campaign=False)
    stage.stop(2)
    stage.stop(3)
    outcome = stage.nodes[1].propose("g", b"x", timeout_ms=300)
    assert isinstance(outcome, NotControllerError)
    assert isinstance(stage.nodes[1].propose("none", b"x", timeout_ms=100), NotControllerError)


def test_a_dead_controller_is_replaced_and_nothing_decided_is_lost(stage: RaftStage) -> None:
    stage.open_group("g", (1, 2, 3))
    stage.nodes[2].propose("g", b"a")
    first = stage.wait_for_controller("g")
    stage.stop(first.broker_id)
    other = next(iter(stage.nodes.values()))
    assert other.propose("g", b"b")[1] == 2
    stage.wait_for_state("g", (b"a", b"b"))
    again = stage.start(first.broker_id)
    again.open_group("g", (1, 2, 3), campaign=False)
    stage.connect()
    assert again.propose("g", b"c")[1] == 3
    stage.wait_for_state("g", (b"a", b"b", b"c"))


def test_a_closed_link_is_opened_again_and_loses_nothing(stage: RaftStage) -> None:
    stage.open_group("g", (1, 2, 3))
    controller = stage.wait_for_controller("g")
    for number in range(5):
        other = 1 + controller.broker_id % 3
        break_link(stage, controller.broker_id, other)
        outcome = controller.propose("g", b"%d" % number)
        assert outcome[1] == number + 1, outcome
    stage.wait_for_state("g", (b"0", b"1", b"2", b"3", b"4"))


def break_link(stage: RaftStage, broker_id: int, other_id: int) -> None:
    """Close the socket between two brokers, as a broken network would."""
    runtime = stage.nodes[broker_id].runtime

    def close() -> None:
        link = runtime._links.links.get(other_id)
        if link is not None:
            link.sock.shutdown(socket.SHUT_RDWR)

    runtime._call(close)


def test_decisions_survive_the_restart_of_all(tmp_path: Path) -> None:
    with RaftStage(tmp_path) as stage:
        stage.open_group("g", (1, 2, 3))
        for number in range(300):
            stage.nodes[1 + number % 3].propose("g", b"%d" % number)
    with RaftStage(tmp_path) as stage:
        stage.open_group("g", (1, 2, 3))
        assert stage.nodes[2].propose("g", b"last")[1] == 301
        stage.wait_for_state("g", (*(b"%d" % number for number in range(300)), b"last"))


def test_a_sealed_group_tells_so(stage: RaftStage) -> None:
    stage.open_group("g", (1, 2, 3))
    assert stage.nodes[1].propose("g", b"seal:1,2")[1] == 1
    for node in stage.nodes.values():
        assert isinstance(node.propose("g", b"late"), GroupSealedError)


def test_messages_between_loop_threads(stage: RaftStage) -> None:
    seen: list[tuple[int, bytes]] = []
    three = stage.nodes[3]

    def note(broker_id: int, body: bytes) -> None:
        seen.append((broker_id, body))
        three.notify()

    three.runtime.on_message("news", note)
    for broker_id in (1, 2, 3):
        assert stage.nodes[broker_id].runtime.send(3, "news", b"from %d" % broker_id)
    assert not stage.nodes[1].runtime.send(9, "news", b"nobody")
    three.wait_until(lambda: len(seen) == 3)
    assert sorted(seen) == [(1, b"from 1"), (2, b"from 2"), (3, b"from 3")]


def test_a_turn_with_more_messages_than_a_frame_may_have_tears_no_link(stage: RaftStage) -> None:
    first, second = stage.nodes[1], stage.nodes[2]
    arrived: list[bytes] = []

    def note(_broker_id: int, body: bytes) -> None:
        arrived.append(body)
        if body:
            second.notify()

    def send_all() -> None:
        for number in range(MAX_ARRAY + 1):
            is_last = number == MAX_ARRAY
            message = ("many", LinkMessage.LOOP_MESSAGE, b"last" if is_last else b"")
            first.runtime._host.send_message(2, message)

    second.runtime.on_message("many", note)
    first.runtime.call_soon(send_all)
    second.wait_until(lambda: bool(arrived) and arrived[-1] == b"last")
    assert len(arrived) == MAX_ARRAY + 1


def test_peers_are_told_when_they_come_and_go(stage: RaftStage) -> None:
    node = stage.nodes[1]
    peer = node.runtime.live_brokers()[3]
    assert (peer.incarnation, peer.port, peer.is_up) == (103, stage.nodes[3].port, True)
    stage.stop(3)
    node.wait_until(lambda: set(node.runtime.live_brokers()) == {1, 2})
    stage.start(3)
    stage.connect()
    assert node.runtime.live_brokers()[3].session != peer.session


def test_a_seed_reaches_all_and_outlives_its_sender(tmp_path: Path) -> None:
    with RaftStage(tmp_path, (1, 2)) as stage:
        seeds = watch_seeds(stage)
        stage.nodes[1].runtime.send_seed("g", 1, (1, 2, 3), (1, 2), b"first state")
        stage.nodes[2].wait_until(lambda: bool(seeds[2]))
        stage.nodes[1].wait_until(lambda: bool(seeds[1]))
        assert seeds[1] == seeds[2] == [("g", 1, (1, 2, 3), b"first state")]
        stage.nodes[1].runtime.ack_seed("g", 1)
        stage.nodes[2].runtime.ack_seed("g", 1)
    with RaftStage(tmp_path, (1, 2, 3)) as stage:
        seeds = watch_seeds(stage, acknowledge=True)
        stage.nodes[3].wait_until(lambda: bool(seeds[3]))
        assert seeds[3][0] == ("g", 1, (1, 2, 3), b"first state")
        runtime = stage.nodes[1].runtime
        while stage.nodes[1].ask(runtime.read_statistics).pending_seeds:
            pass
    with RaftStage(tmp_path, (1, 2, 3)) as stage:
        assert not any(
            group_id.startswith("seed:")
            for node in stage.nodes.values()
            for group_id in (*node.wal.replay(), *node.wal._attached)
        )


def test_a_seed_of_a_group_that_is_no_more_is_brought_to_nobody(tmp_path: Path) -> None:
    with RaftStage(tmp_path, (1, 2)) as stage:
        seeds = watch_seeds(stage)
        runtime = stage.nodes[1].runtime
        for base_id in ("gone", "kept"):
            runtime.send_seed(base_id, 1, (1, 2, 3), (1, 2), b"first state")
        stage.nodes[2].wait_until(lambda: len(seeds[2]) >= 2)
        runtime.drop_seeds(["gone"])
        assert stage.nodes[1].ask(runtime.read_statistics).pending_seeds == 1
    with RaftStage(tmp_path, (1, 2, 3)) as stage:
        wal = stage.nodes[1].wal
        journaled = {base_id_of_seed(group_id) for group_id in (*wal.replay(), *wal._attached)}
        assert journaled - {None} == {"kept"}
        seeds = watch_seeds(stage)
        stage.nodes[3].wait_until(lambda: len(seeds[3]) >= 2)  # it is brought again and again
        assert {seed[0] for seed in seeds[3]} == {"kept"}


def watch_seeds(
    stage: RaftStage, *, acknowledge: bool = False
) -> dict[int, list[tuple[str, int, tuple[int, ...], bytes]]]:
    seen: dict[int, list[tuple[str, int, tuple[int, ...], bytes]]] = {}
    for broker_id, node in stage.nodes.items():
        seeds = seen[broker_id] = []

        def note(
            base_id: str,
            generation: int,
            voters: tuple[int, ...],
            seed: bytes,
            node: Any = node,
            seeds: list[Any] = seeds,
        ) -> None:
            seeds.append((base_id, generation, voters, seed))
            if acknowledge:
                node.runtime.ack_seed(base_id, generation)
            node.notify()

        node.runtime.on_seed = note
    return seen


def test_groups_are_described(stage: RaftStage) -> None:
    stage.open_group("g", (1, 2, 3))
    stage.nodes[1].propose("g", b"a")
    controller = stage.wait_for_controller("g")
    (found,) = controller.ask(controller.runtime.describe_groups)
    assert (found.group_id, found.leader_id, found.voters) == (
        "g",
        controller.broker_id,
        (1, 2, 3),
    )
    assert found.is_controller
    assert found.term >= 1


def test_stopping_ends_what_is_under_way(stage: RaftStage) -> None:
    stage.nodes[1].open_group("g", (1, 2, 3), campaign=False)
    done: list[Any] = []
    stage.nodes[1].runtime.propose("g", b"x", done.append)
    stage.stop(1)
    assert [type(outcome) for outcome in done] == [UnknownOutcomeError]


def test_a_full_disk_holds_decisions_back_until_there_is_room(
    stage: RaftStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.open_group("g", (1, 2, 3))
    stage.nodes[1].propose("g", b"a")
    controller = stage.wait_for_controller("g")
    refusals = 0
    append_turn = controller.wal.append_turn

    def refuse(records: Any) -> None:
        nonlocal refusals
        refusals += 1
        if refusals > 3:
            append_turn(records)
            return
        error = KafkaStorageError(controller.folder, "full")
        error.__cause__ = OSError(errno.ENOSPC, "full")
        raise error

    monkeypatch.setattr(controller.wal, "append_turn", refuse)
    assert controller.propose("g", b"b")[1] == 2
    assert refusals >= 4
    stage.wait_for_state("g", (b"a", b"b"))


def test_on_a_disk_that_stays_full_a_proposal_ends_at_its_deadline(
    stage: RaftStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.open_group("g", (1, 2, 3))
    stage.nodes[1].propose("g", b"a")
    controller = stage.wait_for_controller("g")

    def refuse(records: Any) -> None:
        error = KafkaStorageError(controller.folder, "full")
        error.__cause__ = OSError(errno.ENOSPC, "full")
        raise error

    with monkeypatch.context() as full:
        full.setattr(controller.wal, "append_turn", refuse)
        outcome = controller.propose("g", b"b", timeout_ms=300)
    assert isinstance(outcome, UnknownOutcomeError)


def test_a_failed_sync_ends_the_broker(stage: RaftStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.open_group("g", (1, 2, 3))
    controller = stage.wait_for_controller("g")

    def fail(records: Any) -> None:
        raise KafkaStorageError(controller.folder, "EIO")

    monkeypatch.setattr(controller.wal, "append_turn", fail)
    assert isinstance(controller.propose("g", b"x"), UnknownOutcomeError)
    controller.ask(controller.loop.post_and_tell)
    assert "EIO" in controller.fatal[0]


def test_a_proposer_hears_its_outcome_behind_the_state_that_came_of_it(stage: RaftStage) -> None:
    """Controllers once proposed each election twice: the second time on the state before it."""
    stage.open_group("g", (1, 2, 3))
    controller = stage.wait_for_controller("g")
    for number in range(5):
        payload = b"%d" % number

        def ask(on_done: Callable[[object], None], payload: bytes = payload) -> None:
            controller.runtime.propose("g", payload, lambda _: on_done(controller.views["g"].state))

        assert controller.ask(ask)[-1] == payload
