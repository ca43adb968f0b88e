"""The cluster's group as brokers come: alone, followed, grown to three, after a restart."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import KafkaStorageError
from headrace.raft.cluster_commands import (
    AllocateProducerIds,
    ChangeVoters,
    CreateTopic,
    DeleteTopic,
    RegisterBroker,
)
from headrace.raft.cluster_group import ClusterGroup, Standing
from headrace.raft.errors import NotControllerError, TopicExistsError
from headrace.raft.raft_wal import RaftWal
from tests.support.fake_runtime import FakeNetwork, FakePeer, FakeRuntime

ID_A = b"a" * 16
ID_B = b"b" * 16


class Never:
    def cancel(self) -> None:
        """Nothing was scheduled."""


class Member:
    """One broker's cluster group."""

    def __init__(self, network: FakeNetwork, folder: Path, broker_id: int, life: int = 0) -> None:
        self.folder = folder
        self.wal = RaftWal.open(folder)
        self.peer = FakePeer(broker_id, 100 + broker_id, 200 + broker_id + life, 300 + broker_id)
        self.news: list[str] = []
        self.group = ClusterGroup(
            self.wal,
            broker_id=broker_id,
            on_applied=lambda command, _: self.news.append(type(command).__name__),
            may_form=broker_id == 0,
        )
        self.runtime = FakeRuntime(network, self.peer, self.wal)
        self.network = network

    def joined(self) -> "Member":
        self.runtime.on_seed = lambda _base, *seed: self.group.seed_arrived(*seed)
        self.group.connect(self.runtime, lambda _ms, _call: Never())
        self.runtime.start()
        self.network.settle()
        return self

    def registered(self) -> "Member":
        own = self.peer
        assert (
            self.decide(
                RegisterBroker(
                    own.broker_id, own.incarnation, "localhost", 9092, None, own.session, own.wal_id
                )
            ).broker_id
            == own.broker_id
        )
        return self

    def decide(self, command: Any) -> Any:
        results: list[Any] = []
        self.group.propose(command, results.append)
        self.network.settle()
        assert len(results) == 1, command
        return results[0]

    def restarted(self) -> "Member":
        self.runtime.stop()
        self.network.settle()
        self.wal.close()
        return Member(self.network, self.folder, self.peer.broker_id, life=50).joined()


def members(tmp_path: Path, count: int) -> list[Member]:
    network = FakeNetwork()
    return [Member(network, tmp_path / str(n), n).joined().registered() for n in range(count)]


def test_a_second_broker_follows_and_has_its_commands_decided_by_the_first(tmp_path: Path) -> None:
    first, second = members(tmp_path, 2)
    assert (first.group.standing, second.group.standing) == (Standing.SOLO, Standing.FOLLOWER)
    topic = second.decide(CreateTopic("clicks", ID_A, ((0, 1),)))
    assert topic is second.group.state.topics["clicks"]
    assert isinstance(second.decide(CreateTopic("clicks", ID_B, ((0,),))), TopicExistsError)
    assert first.group.state.to_bytes() == second.group.state.to_bytes()
    assert (first.group.controller_id, second.group.controller_id) == (0, 0)
    assert second.news[-1] == "CreateTopic"


def test_an_answer_to_an_earlier_life_of_a_broker_is_not_taken_for_its_own(tmp_path: Path) -> None:
    (first,) = members(tmp_path, 1)
    second = Member(first.network, tmp_path / "1", 1).joined()
    second.group.propose(AllocateProducerIds(1, 7))  # on its way while it restarts
    second.runtime.stop()
    second.wal.close()
    again = Member(first.network, second.folder, 1, life=50)
    again.group.connect(again.runtime, lambda _ms, _call: Never())
    again.runtime.start()
    again.group.controller_announced(0)
    block = again.decide(AllocateProducerIds(1, 10))
    assert (block.first_producer_id, block.count) == (7, 10)


def test_with_a_third_broker_all_three_vote(tmp_path: Path) -> None:
    three = members(tmp_path, 3)
    assert [each.group.standing for each in three] == [Standing.VOTER] * 3
    assert {each.group.group_id for each in three} == {"cluster@1"}
    block = three[2].decide(AllocateProducerIds(2, 10))
    assert (block.first_producer_id, block.count) == (0, 10)
    for each in three:
        assert each.group.state.to_bytes() == three[0].group.state.to_bytes()
        assert each.group.controller_id == 0
        assert ("cluster", 1) in each.runtime.acknowledged or each is three[0]
        assert "cluster" not in each.wal.replay()


def test_the_controllers_death_leaves_two_that_decide(tmp_path: Path) -> None:
    three = members(tmp_path, 3)
    three[0].runtime.stop()
    three[0].network.settle()
    assert three[2].decide(CreateTopic("clicks", ID_A, ((1, 2),))).name == "clicks"
    assert (three[1].group.controller_id, three[2].group.controller_id) == (1, 1)
    three[1].runtime.stop()
    three[0].network.settle()
    assert isinstance(three[2].decide(DeleteTopic(ID_A)), NotControllerError)


def test_a_voter_that_comes_back_has_what_was_decided_meanwhile(tmp_path: Path) -> None:
    three = members(tmp_path, 3)
    three[1].decide(CreateTopic("clicks", ID_A, ((1, 2),)))
    three[2].runtime.stop()
    three[0].network.settle()
    three[0].decide(CreateTopic("views", ID_B, ((1, 2),)))
    three[2].runtime.start()
    again = three[2].restarted()
    assert again.group.standing is Standing.VOTER
    assert sorted(again.group.state.topics) == ["clicks", "views"]


def test_a_listener_that_fails_keeps_no_later_decision_from_a_voter(tmp_path: Path) -> None:
    three = members(tmp_path, 3)
    three[2].runtime.stop()
    three[0].network.settle()
    for name, topic_id in (("clicks", ID_A), ("views", ID_B)):
        three[0].decide(CreateTopic(name, topic_id, ((0,),)))
    three[2].wal.close()
    again = Member(three[0].network, three[2].folder, 2, life=50)
    told: list[Any] = []

    def fail_once(command: Any, _result: Any) -> None:
        told.append(command)
        if isinstance(command, CreateTopic) and command.name == "clicks":
            raise KafkaStorageError(tmp_path, "no space")

    again.group.add_listener(fail_once)
    again.joined()
    assert again.group.state.to_bytes() == three[0].group.state.to_bytes()
    assert [each.name for each in told if isinstance(each, CreateTopic)] == ["clicks", "views"]


@pytest.mark.parametrize("count", [2, 4])
def test_a_listener_that_fails_keeps_no_later_news_of_a_whole_state_from_a_follower(
    tmp_path: Path, count: int
) -> None:
    others = members(tmp_path, count - 1)
    for name, topic_id in (("clicks", ID_A), ("views", ID_B)):
        others[0].decide(CreateTopic(name, topic_id, ((0,),)))
    last = Member(others[0].network, tmp_path / "last", count - 1)
    told: list[Any] = []

    def fail(command: Any, _result: Any) -> None:
        told.append(command)
        raise KafkaStorageError(tmp_path, "no space")

    last.group.add_listener(fail)
    last.joined()
    assert [each.name for each in told if isinstance(each, CreateTopic)] == ["clicks", "views"]
    assert last.group.voters == others[0].group.state.voters


def test_a_fourth_broker_follows_three_voters(tmp_path: Path) -> None:
    four = members(tmp_path, 4)
    assert four[3].group.standing is Standing.FOLLOWER
    four[3].decide(CreateTopic("clicks", ID_A, ((3, 2),)))
    four[1].decide(CreateTopic("views", ID_B, ((1, 2),)))
    assert four[3].group.state.to_bytes() == four[0].group.state.to_bytes()


@pytest.mark.parametrize("newcomer", [3, 2])
def test_who_joins_at_another_than_the_controller_hears_where_all_are(
    tmp_path: Path, newcomer: int
) -> None:
    *_, last = members(tmp_path, 3)
    network = last.network
    if newcomer == 2:  # it comes back without its folder
        last.runtime.stop()
    network.seeds.clear()  # acknowledged long ago
    network.unlinked = {frozenset((0, newcomer)), frozenset((2, newcomer))}
    joining = Member(network, tmp_path / "new", newcomer, life=50)
    joining.peer = replace(joining.peer, wal_id=999)
    joining.runtime.own = joining.peer
    joining.joined()
    assert joining.group.controller_id == -1
    assert sorted(joining.group.state.brokers) == [0, 1, 2]
    # With their addresses it links to them, the Controller too.
    network.unlinked.clear()
    network.peers_changed()
    network.settle()
    joining.registered()
    assert joining.group.state.brokers[newcomer].wal_id == 999


def test_five_brokers_all_vote_in_the_second_generation(tmp_path: Path) -> None:
    five = members(tmp_path, 5)
    assert {each.group.group_id for each in five} == {"cluster@2"}
    assert five[4].decide(CreateTopic("clicks", ID_A, ((3, 2),))).name == "clicks"
    assert {each.group.state.to_bytes() for each in five} == {five[0].group.state.to_bytes()}


def test_a_first_broker_that_fell_after_its_last_decision_alone_sends_the_seed_later(
    tmp_path: Path,
) -> None:
    three = members(tmp_path, 2)
    network = three[0].network
    wal_only = three[0]
    network.up.clear()
    wal_only.group._runtime = None  # it falls before it can act on what it decides
    wal_only.group.propose(ChangeVoters(0, (0, 1)))
    wal_only.wal.close()
    three[1].runtime.start()
    again = Member(network, tmp_path / "0", 0, life=9).joined()
    assert [m.group.group_id for m in (again, three[1])] == ["cluster@1", "cluster@1"]
    assert again.decide(CreateTopic("clicks", ID_A, ((0,),))).name == "clicks"


@pytest.mark.parametrize("lost", [0, 2])
def test_a_voter_that_lost_its_journal_votes_again_in_a_new_generation(
    tmp_path: Path, lost: int
) -> None:
    three = members(tmp_path, 3)
    three[lost].runtime.stop()
    three[0].network.settle()
    fresh = Member(three[0].network, tmp_path / "fresh", lost, life=7)
    fresh.group = ClusterGroup(fresh.wal, broker_id=lost, may_form=False)
    fresh.peer = FakePeer(lost, 900, 901, 902)
    fresh.runtime.own = fresh.peer
    fresh.joined().registered()
    assert fresh.group.standing is Standing.VOTER
    assert {each.group.group_id for each in three if each is not three[lost]} == {"cluster@2"}
