"""Who waits until a topic is led anew, over the partitions of brokers whose elections are real."""

from pathlib import Path
from typing import Any, cast

import pytest

from headrace.api.leader_waits import LOOK_S, LeaderWaits
from headrace.raft.cluster_commands import CreateTopic, DeleteTopic
from headrace.raft.partition_state import PartitionState
from headrace.raft.topic_image import TopicImage
from tests.raft.test_partitions_of_three import ID_A, ID_B, Node
from tests.support.fake_runtime import FakeNetwork
from tests.support.manual_loop import ManualLoop

COUNT = 50
OTHERS = ((1, 2, 3),) * (COUNT - 1)


class Client:
    """Notes, by how often it was told, that what it waits for is led."""

    told = 0

    def be_told(self) -> None:
        self.told += 1


class Stage:
    """Brokers 0 to 3; broker 0 alone led one partition of each topic, and has fallen silent.

    What `seen_by` knows is what clients there wait for: broker 3 has no vote on the first topic.
    """

    def __init__(self, folder: Path, seen_by: int) -> None:
        network = FakeNetwork()
        self.loop = ManualLoop()
        self.lost = frozenset((0,))
        self.live = frozenset(range(4))
        self.looks = 0
        self.nodes = [Node(network, folder / str(number), number) for number in range(4)]
        self.seen_by = self.nodes[seen_by]
        self.seats: Any = self.seen_by.replicas.seats
        self.waits = LeaderWaits(
            cast(Any, self.loop),
            self.seats,
            self.seen_by.cluster,
            lost=lambda: self.lost,
            live=lambda: self.live,
        )
        for node in self.nodes:
            node.joined()
        self.nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2), *OTHERS)))
        self.nodes[0].decide(CreateTopic("views", ID_B, ((0, 1, 2),)))
        state_of = self.seats.state_of

        def count_look(image: TopicImage, index: int) -> PartitionState | None:
            self.looks += 1
            found: PartitionState | None = state_of(image, index)
            return found

        self.seats.state_of = count_look

    def begin(self, *names: str) -> Client | None:
        client = Client()
        topics = self.seen_by.cluster.state.topics
        return client if self.waits.begin(client, [topics[name] for name in names]) else None

    def clients(self, count: int, *names: str) -> list[Client]:
        begun = [self.begin(*names) for _ in range(count)]
        assert None not in begun
        return [client for client in begun if client is not None]

    def elect(self) -> None:
        """Broker 0 counts as gone: others lead what it led."""
        self.nodes[0].fallen()
        assert [node.state().leader for node in self.nodes[1:]] == [1, 1, 1]


@pytest.fixture(params=[1, 3])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    return Stage(tmp_path, request.param)


def test_all_who_wait_are_told_when_the_next_leader_is_known_and_partitions_are_looked_at_once(
    stage: Stage,
) -> None:
    clients = stage.clients(20, "clicks")
    assert stage.looks == COUNT
    stage.loop.advance(10 * LOOK_S)
    assert (stage.looks, sum(client.told for client in clients)) == (COUNT, 0)
    stage.elect()
    stage.loop.turn()
    assert stage.looks <= COUNT + 2  # a partition has news, and none of the others is looked at
    for count in range(20):
        assert [client.told for client in clients] == [1] * count + [0] * (20 - count)
        stage.loop.turn()  # so what else is to be done goes on between their answers
    assert [client.told for client in clients] == [1] * 20
    assert len(stage.waits) == 0
    stage.loop.advance(LOOK_S)
    assert stage.loop.timers == []


def test_who_waits_for_two_topics_is_told_once_when_both_are_led(stage: Stage) -> None:
    (both,), (one,) = stage.clients(1, "clicks", "views"), stage.clients(1, "views")
    stage.elect()
    for _ in range(4):
        stage.loop.turn()
    assert (both.told, one.told) == (1, 1)


def test_who_waits_for_some_partitions_does_not_wait_for_the_others_of_the_topic(
    stage: Stage,
) -> None:
    image = stage.seen_by.cluster.state.topics["clicks"]
    stage.lost = frozenset((0, 1))  # broker 1 leads all partitions but the first
    first, second, whole = Client(), Client(), Client()
    assert stage.waits.begin_for_some(first, image, [0])
    assert stage.waits.begin_for_some(second, image, [1, 2])
    assert stage.waits.begin(whole, [image])
    stage.lost = frozenset((0,))
    stage.loop.advance(LOOK_S)
    stage.loop.turn()
    assert (first.told, second.told, whole.told) == (0, 1, 0)
    assert not stage.waits.begin_for_some(second, image, [1, 2])
    stage.elect()
    for _ in range(3):
        stage.loop.turn()
    assert (first.told, second.told, whole.told) == (1, 1, 1)
    assert len(stage.waits) == 0


def test_a_silent_leader_that_is_heard_again_ends_the_waiting(stage: Stage) -> None:
    (client,) = stage.clients(1, "clicks")
    stage.lost = frozenset()
    stage.loop.advance(LOOK_S)
    stage.loop.turn()
    assert client.told == 1
    assert stage.begin("clicks") is None


def test_where_nobody_is_left_to_be_elected_nobody_waits(stage: Stage) -> None:
    (client,) = stage.clients(1, "clicks")
    stage.live = frozenset((3,))  # which is not in sync with the partition that is lost
    stage.loop.advance(LOOK_S)
    stage.loop.turn()
    assert client.told == 1
    assert stage.begin("clicks") is None


def test_a_topic_that_is_deleted_is_waited_for_no_more(stage: Stage) -> None:
    (client,) = stage.clients(1, "views")
    stage.nodes[1].decide(DeleteTopic(ID_B))
    for _ in range(2):
        stage.loop.turn()
    assert client.told == 1


def test_who_is_gone_is_not_told_and_leaves_nothing_behind(stage: Stage) -> None:
    gone, stays, told_late = stage.clients(3, "clicks")
    stage.waits.discard(gone)
    stage.elect()
    stage.loop.turn()
    stage.waits.discard(told_late)
    for _ in range(3):
        stage.loop.turn()
    assert (gone.told, stays.told, told_late.told) == (0, 1, 0)
    assert stage.begin("clicks") is None
    stage.loop.advance(LOOK_S)
    assert stage.loop.timers == []


def test_who_gave_up_is_told_in_turn_like_the_others(stage: Stage) -> None:
    clients = stage.clients(3, "clicks")
    for client in clients:
        stage.waits.give_up(client)
        stage.waits.give_up(client)
    for count in range(3):
        assert [client.told for client in clients] == [1] * count + [0] * (3 - count)
        stage.loop.turn()
    assert [client.told for client in clients] == [1, 1, 1]
    assert len(stage.waits) == 0
    stage.waits.give_up(clients[0])
    stage.loop.turn()
    assert clients[0].told == 1
