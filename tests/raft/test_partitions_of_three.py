"""Partitions of three brokers: born led, led on after a loss, moved, told to who does not vote."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import KafkaStorageError
from headrace.core.log_config import LogConfig
from headrace.raft.cluster_commands import (
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    ReassignPartitions,
    RegisterBroker,
)
from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.errors import (
    ElectionNotNeededError,
    EligibleLeadersNotAvailableError,
    PreferredLeaderNotAvailableError,
)
from headrace.raft.partition import Partition
from headrace.raft.partition_group import (
    PartitionGroup,
    parse_partition_group_id,
    partition_group_id,
)
from headrace.raft.partition_state import AlterIsr, Elect, Outcome, PartitionState
from headrace.raft.raft_wal import RaftWal
from headrace.raft.replica_manager import ReplicaManager
from headrace.raft.seed_sender import PendingSeed
from headrace.raft.wal_format import WalRecord, WalRecordKind
from tests.raft.fake_log import FakeLogManager
from tests.support.fake_runtime import FakeNetwork, FakePeer, FakeRuntime
from tests.support.manual_clock import ManualClock

ID_A = b"a" * 16
ID_B = b"b" * 16


class Node:
    """One broker's agreement floor; `fallen` and `returned` keep its disk."""

    def __init__(
        self,
        network: FakeNetwork,
        folder: Path,
        broker_id: int,
        *,
        life: int = 0,
        is_clean: bool = True,
        logs: FakeLogManager | None = None,
    ) -> None:
        self.network = network
        self.folder = folder
        self.life = life
        self.logs = logs or FakeLogManager()
        self.wal = RaftWal.open(folder)
        self.peer = FakePeer(
            broker_id,
            100 + broker_id + (0 if is_clean else 50 * life),
            200 + broker_id + 1000 * life,
            300 + broker_id,
        )
        self.delayed: list[Callable[[], None]] = []
        self.cluster = ClusterGroup(self.wal, broker_id=broker_id, may_form=broker_id == 0)
        self.replicas = ReplicaManager(
            broker_id=broker_id,
            log_manager=self.logs,
            cluster_group=self.cluster,
            wal=self.wal,
            clock=ManualClock(),
            incarnation=self.peer.incarnation,
        )
        self.runtime = FakeRuntime(network, self.peer, self.wal)
        self.news: list[tuple[str, str, int]] = []
        for hooks, what in (
            (self.replicas.on_partition_online, "online"),
            (self.replicas.on_partition_offline, "offline"),
        ):
            hooks.append(lambda p, what=what: self.news.append((what, p.topic, p.index)))

    def joined(self) -> "Node":
        seats = self.replicas.seats
        seats.wal_id, seats.has_kept_cache = self.peer.wal_id, True
        self.runtime.on_seed = self._take_seed
        self.replicas.connect(self.runtime, self._schedule, session=self.peer.session)
        self.cluster.connect(self.runtime, self._schedule)
        self.replicas.start()
        self.runtime.start()
        self.network.settle()
        own = self.peer
        self.decide(
            RegisterBroker(
                own.broker_id, own.incarnation, "localhost", 9092, None, own.session, own.wal_id
            )
        )
        return self

    def _take_seed(self, base_id: str, *seed: Any) -> None:
        if base_id == "cluster":
            self.cluster.seed_arrived(*seed)
        else:
            self.replicas.seats.seed_arrived(base_id, *seed)

    def _schedule(self, _delay_ms: int, call: Callable[[], None]) -> Any:
        self.delayed.append(call)
        return self

    def cancel(self) -> None:
        """Nothing that was scheduled runs unless a test says so."""

    def decide(self, command: Any) -> Any:
        results: list[Any] = []
        self.cluster.propose(command, results.append)
        self.network.settle()
        assert len(results) == 1, command
        return results[0]

    def partition(self, index: int = 0, topic: str = "clicks") -> Partition:
        return self.replicas.partition(topic, index)

    def state(self, index: int = 0, topic: str = "clicks") -> PartitionState:
        state = self.replicas.state_of(topic, index)
        assert state is not None
        return state

    def fallen(self) -> "Node":
        self.runtime.stop()
        self.network.settle()
        return self

    def returned(self, *, is_clean: bool) -> "Node":
        self.wal.close()
        return Node(
            self.network,
            self.folder,
            self.peer.broker_id,
            life=self.life + 1,
            is_clean=is_clean,
            logs=self.logs,
        ).joined()

    def elect_by_hand(self, *, is_unclean: bool = False) -> Any:
        outcomes: list[Any] = []
        topic = self.cluster.state.topics["clicks"]
        self.replicas.seats.elect_by_hand(topic, 0, is_unclean=is_unclean, on_done=outcomes.append)
        self.network.settle()
        return outcomes[0]


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    network = FakeNetwork()
    return [Node(network, tmp_path / str(n), n).joined() for n in range(3)]


def settle(node: Node) -> None:
    node.network.settle()


def test_a_new_partition_is_led_by_its_first_replica_and_followed_by_the_others(
    nodes: list[Node],
) -> None:
    nodes[1].decide(CreateTopic("clicks", ID_A, ((1, 2, 0), (0, 1, 2))))
    for node in nodes:
        assert node.partition(0).leader_id == 1
        assert node.partition(0).is_leader is (node is nodes[1])
        assert node.partition(0).is_follower is (node is not nodes[1])
        assert (node.state(1).leader, node.state(1).leader_epoch) == (0, 0)
    assert nodes[1].news == [("online", "clicks", 0)]
    nodes[0].decide(CreatePartitions(ID_A, ((2, 0, 1),)))
    assert nodes[2].partition(2).is_leader


def test_a_fallen_leaders_partitions_are_led_on_without_it(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2), (2, 0, 1))))
    nodes[0].fallen()
    for node in nodes[1:]:
        state = node.state()
        assert (state.leader, state.leader_epoch, state.isr) == (1, 1, ((1, 101), (2, 102)))
    assert nodes[1].partition().is_leader
    assert nodes[2].state(1).isr == ((2, 102), (1, 101))


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_broker_that_comes_back_leads_nothing_before_it_is_elected_again(
    nodes: list[Node], is_clean: bool
) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    nodes[0].fallen()
    again = nodes[0].returned(is_clean=is_clean)
    assert again.partition().is_follower
    assert again.partition().leader_id == 1


def test_leadership_moves_before_a_broker_stops(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2), (1, 0, 2))))
    assert nodes[0].replicas.led_count() == 1
    nodes[0].replicas.seats.stop_leading()
    settle(nodes[0])
    assert nodes[0].replicas.led_count() == 0
    assert nodes[0].partition().is_follower
    assert nodes[1].state().isr == ((1, 101), (2, 102))
    assert nodes[1].state(1).isr == ((1, 101), (2, 102))


def fail_logs(node: Node) -> None:
    """As the log manager says when the disk of every log there fails."""
    assert node.logs.on_dir_offline is not None
    node.logs.on_dir_offline(Path("/"))
    settle(node)


def offline_at(nodes: list[Node]) -> list[list[int]]:
    return [list(node.replicas.offline_replicas(ID_A, 0)) for node in nodes]


def test_a_leader_whose_disk_fails_is_replaced_and_known_everywhere(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2), (2, 0, 1))))
    led = nodes[0].partition()
    fail_logs(nodes[0])
    assert offline_at(nodes) == [[0], [0], [0]]
    for node in nodes:
        state = node.state()
        assert (state.leader, state.leader_epoch, state.isr) == (1, 1, ((1, 101), (2, 102)))
        assert node.replicas.leader_of("clicks", 0) == (1, 1)
        assert node.state(1).isr == ((2, 102), (1, 101))  # where it followed
    assert (led.is_leader, led.is_follower) == (False, False)
    assert nodes[0].news[-1] == ("offline", "clicks", 0)
    for node in nodes:
        node.replicas.seats.balance()
    settle(nodes[0])
    assert isinstance(nodes[2].elect_by_hand(), PreferredLeaderNotAvailableError)
    assert nodes[2].state().leader == 1


def test_the_last_in_sync_whose_disk_fails_leaves_the_partition_unled(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    fail_logs(nodes[1])
    fail_logs(nodes[2])
    assert nodes[1].state().isr == ((0, 100),)
    fail_logs(nodes[0])
    for node in nodes:
        assert node.state().isr == ((0, 100),)
        assert node.replicas.leader_of("clicks", 0) is None
    assert isinstance(nodes[2].elect_by_hand(), PreferredLeaderNotAvailableError)
    assert isinstance(nodes[2].elect_by_hand(is_unclean=True), EligibleLeadersNotAvailableError)


def test_who_was_away_hears_which_replicas_are_offline(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    fail_logs(nodes[0])
    nodes[2].fallen()
    nodes[2] = nodes[2].returned(is_clean=True)
    settle(nodes[2])
    assert offline_at(nodes) == [[0], [0], [0]]
    nodes[0].fallen()
    assert offline_at(nodes[1:]) == [[0], [0]]  # a broken link mends no disk
    nodes[0] = nodes[0].returned(is_clean=False)
    settle(nodes[0])
    assert offline_at(nodes) == [[], [], []]
    assert nodes[0].partition().is_follower


def test_a_log_that_opens_later_is_told_too(nodes: list[Node]) -> None:
    nodes[2].logs.faults["clicks", 0] = KafkaStorageError(Path("data"), "no space left")
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    assert offline_at(nodes) == [[2], [2], [2]]
    assert nodes[0].state().isr == ((0, 100), (1, 101))
    nodes[2].logs.faults.clear()
    nodes[2].replicas.retry_unopened()
    settle(nodes[2])
    assert offline_at(nodes) == [[], [], []]
    assert nodes[2].partition().is_follower


def test_a_log_that_may_be_in_a_lost_folder_does_not_begin_anew(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    nodes[0].fallen()
    lost = nodes[0].logs.by_name.pop(("clicks", 0))
    nodes[0].logs.offline_dirs.append(Path("lost"))
    nodes[0] = nodes[0].returned(is_clean=True)
    assert ("clicks", 0) not in nodes[0].logs.by_name
    assert not nodes[0].partition().is_online
    assert offline_at(nodes) == [[0], [0], [0]]
    assert nodes[1].state().leader == 1
    nodes[1].decide(CreateTopic("views", ID_B, ((0, 1, 2),)))  # is certainly nowhere
    assert nodes[0].partition(topic="views").is_leader
    nodes[0].fallen()
    nodes[0].logs.by_name["clicks", 0] = lost
    nodes[0].logs.offline_dirs.clear()
    nodes[0] = nodes[0].returned(is_clean=True)
    assert nodes[0].partition().is_follower
    assert nodes[0].partition().log is lost
    assert offline_at(nodes) == [[], [], []]


def test_deleted_topics_are_offline_no_more(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    fail_logs(nodes[0])
    nodes[1].decide(DeleteTopic(ID_A))
    assert offline_at(nodes) == [[], [], []]


def test_brokers_without_a_copy_hear_how_a_partition_stands(nodes: list[Node]) -> None:
    nodes[1].decide(CreateTopic("clicks", ID_A, ((1,),)))
    own = nodes[1].partition().group.state
    assert nodes[0].state() == nodes[2].state() == own
    assert nodes[0].replicas.leader_of("clicks", 0) == (1, own.leader_epoch)
    nodes[1].fallen()
    assert nodes[0].replicas.leader_of("clicks", 0) is None


def test_a_single_copy_grows_to_three_in_a_new_generation(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0,),)))
    nodes[2].decide(ReassignPartitions(ID_A, ((0, (0, 2, 1)),)))
    for node in nodes:
        state = node.state()
        assert (state.replicas, state.generation, state.leader) == ((0, 2, 1), 1, 0)
        assert node.partition().is_leader is (node is nodes[0])
    assert ("online", "clicks", 0) not in nodes[0].news[1:]
    assert dict(nodes[1].cluster.state.topics["clicks"].targets) == {0: (0, 2, 1)}
    state = nodes[0].state()
    in_sync = AlterIsr(state.partition_epoch, state.leader_epoch, ((0, 100), (1, 101), (2, 102)))
    outcomes: list[Any] = []
    nodes[0].partition().group.propose(in_sync, outcomes.append)
    settle(nodes[0])
    assert outcomes == [Outcome.APPLIED]
    topic = nodes[1].cluster.state.topics["clicks"]
    assert (dict(topic.targets), topic.assignments) == ({}, ((0, 2, 1),))
    nodes[0].fallen()
    assert nodes[1].state().leader == 2


def test_a_move_away_takes_the_copy_along(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0,),)))
    nodes[0].decide(ReassignPartitions(ID_A, ((0, (1,)),)))
    state = nodes[0].state()
    assert (state.replicas, state.leader) == ((1, 0), 0)
    both = AlterIsr(state.partition_epoch, state.leader_epoch, ((0, 100), (1, 101)))
    nodes[0].partition().group.propose(both, lambda _outcome: None)
    settle(nodes[0])
    assert nodes[1].partition().is_leader
    assert nodes[1].state().replicas == (1,)
    assert ("clicks", 0) not in nodes[0].logs.by_name
    assert nodes[0].cluster.state.topics["clicks"].assignments == ((1,),)


def test_a_deleted_topic_leaves_no_group_and_no_log_anywhere(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2), (1, 2, 0))))
    nodes[2].decide(DeleteTopic(ID_A))
    for node in nodes:
        assert list(node.replicas.partitions()) == []
        assert list(node.replicas.seats.seats()) == []
        assert ("clicks", 0) not in node.logs.by_name
        assert not any(group.startswith("partition-") for group in node.wal.replay())


def test_a_broker_that_was_away_hosts_what_was_created_meanwhile(nodes: list[Node]) -> None:
    nodes[2].fallen()
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    again = nodes[2].returned(is_clean=True)
    assert again.partition().is_follower
    assert again.state() == nodes[0].state()


def test_elections_by_hand_are_refused_in_words_where_they_would_do_nothing(
    nodes: list[Node],
) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    assert isinstance(nodes[2].elect_by_hand(), ElectionNotNeededError)
    nodes[0].fallen()
    assert isinstance(nodes[2].elect_by_hand(), PreferredLeaderNotAvailableError)
    again = nodes[0].returned(is_clean=True)
    state = again.state()
    back = AlterIsr(state.partition_epoch, state.leader_epoch, (*state.isr, (0, 100)))
    nodes[1].partition().group.propose(back, lambda _outcome: None)
    settle(nodes[1])
    assert nodes[2].elect_by_hand() is Outcome.APPLIED
    assert again.partition().is_leader


def test_who_was_not_in_sync_leads_once_brokers_allow_it_by_default(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    state = nodes[0].state()
    alone = AlterIsr(state.partition_epoch, state.leader_epoch, ((0, 100),))
    nodes[0].partition().group.propose(alone, lambda _outcome: None)
    settle(nodes[0])
    nodes[0].fallen()
    assert nodes[1].state().leader not in (1, 2)
    for node in nodes[1:]:
        node.replicas.set_default_config(LogConfig(unclean_leader_election_enable=True))
    settle(nodes[1])
    assert nodes[1].state().leader in (1, 2)


def test_nobody_can_be_elected_by_hand_where_no_replica_is_up(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0,),)))
    nodes[0].fallen()
    assert isinstance(nodes[1].elect_by_hand(is_unclean=True), EligibleLeadersNotAvailableError)


def test_leaders_go_back_where_they_belong_when_it_is_time(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    nodes[0].fallen()
    again = nodes[0].returned(is_clean=True)
    state = again.state()
    back = AlterIsr(state.partition_epoch, state.leader_epoch, (*state.isr, (0, 100)))
    nodes[1].partition().group.propose(back, lambda _outcome: None)
    settle(nodes[1])
    for node in (again, *nodes[1:]):
        node.replicas.seats.balance()
    settle(nodes[1])
    assert again.partition().is_leader


def test_a_deleted_topics_seeds_are_brought_to_nobody(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0,),)))
    nodes[2].fallen()  # whoever is down has not acknowledged what was begun without it
    nodes[0].decide(ReassignPartitions(ID_A, ((0, (1, 0)),)))
    seeds = nodes[0].network.seeds
    assert any(seed[0] == partition_group_id(ID_A, 0) for seed in seeds)
    nodes[0].decide(DeleteTopic(ID_A))
    assert not any(parse_partition_group_id(seed[0]) for seed in nodes[0].network.seeds)


def test_new_voters_are_told_how_far_restarted_replicas_reach(tmp_path: Path) -> None:
    network = FakeNetwork()
    nodes = [Node(network, tmp_path / str(n), n).joined() for n in range(4)]
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1),)))
    assert nodes[0].state().voters == (0, 1, 3)
    nodes[1].fallen()
    nodes[1] = nodes[1].returned(is_clean=False)
    base_id = partition_group_id(ID_A, 0)
    nodes[0].decide(ReassignPartitions(ID_A, ((0, (0, 1, 2)),)))
    assert nodes[2].state().generation == 1
    news = nodes[2].replicas.seats.news
    assert news is not None
    assert list(news.reports_of(base_id)) == [1]


def test_a_generation_that_begins_in_a_later_life_begins_with_an_election(
    nodes: list[Node],
) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    state = nodes[0].state()
    seat = nodes[0].replicas.seats.seat_of(ID_A, 0)
    assert seat is not None
    alone = replace(
        state,
        replicas=(0,),
        voters=(0,),
        isr=((0, 99),),
        generation=1,
        partition_epoch=state.partition_epoch + 1,
        leader_session=state.leader_session + 1,
    )
    nodes[0].replicas.seats.seed_arrived(seat.group.base_id, 1, (0,), alone.to_bytes())
    assert nodes[0].partition().is_leader
    begun = nodes[0].state()
    assert begun.leader_epoch == state.leader_epoch + 1, "no life goes on with another's epoch"
    assert (begun.isr, begun.leader_session) == (((0, 100),), nodes[0].peer.session)


def test_a_group_that_was_left_is_not_begun_anew_by_who_has_not_heard_of_the_move(
    tmp_path: Path,
) -> None:
    network = FakeNetwork()
    nodes = [Node(network, tmp_path / str(n), n).joined() for n in range(4)]
    nodes[1].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    born = nodes[0].cluster.state.topics["clicks"]
    nodes[1].decide(ReassignPartitions(ID_A, ((0, (1, 2, 3)),)))
    state = nodes[0].state()
    grown = AlterIsr(state.partition_epoch, state.leader_epoch, (*state.isr, (3, 103)))
    nodes[0].partition().group.propose(grown, lambda _outcome: None)
    settle(nodes[0])
    assert nodes[1].state().voters == (1, 2, 3)
    base_id = partition_group_id(ID_A, 0)
    late = nodes[0].replicas.seats.state_of(born, 0)
    assert late is not None
    nodes[0].replicas.seats.seed_arrived(base_id, 1, (0, 1, 2, 3), late.to_bytes())
    assert nodes[0].replicas.seats.seat_of(ID_A, 0) is None, "a seed that comes late"
    again = nodes[0].fallen().returned(is_clean=True)
    again.wal.checkpoint()
    assert again.replicas.seats.open_seat(born, 0) is None
    nodes[1].decide(DeleteTopic(ID_A))
    assert not any(group.startswith("partition-") for group in again.wal.replay())


def seed_in_log(node: Node, generation: int) -> PendingSeed:
    """What a node would bring to others if it began another life now."""
    node.fallen().wal.close()
    group_id = f"seed:{partition_group_id(ID_A, 0)}@{generation}"
    return PendingSeed.from_bytes(RaftWal.open(node.folder).replay()[group_id].snapshot)


def test_who_leaves_a_group_keeps_its_seed_with_that(tmp_path: Path) -> None:
    """Though its Raft thread journals nothing any more."""
    network = FakeNetwork()
    nodes = [Node(network, tmp_path / str(n), n).joined() for n in range(4)]
    nodes[1].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    nodes[1].decide(ReassignPartitions(ID_A, ((0, (1, 2, 3)),)))
    state = nodes[0].state()
    grown = AlterIsr(state.partition_epoch, state.leader_epoch, (*state.isr, (3, 103)))
    nodes[0].partition().group.propose(grown, lambda _outcome: None)
    settle(nodes[0])
    assert nodes[0].replicas.seats.seat_of(ID_A, 0) is None
    seed = seed_in_log(nodes[0], 2)
    assert (seed.voters, set(seed.old_voters)) == ((1, 2, 3), {0, 1, 2, 3})
    assert PartitionState.from_bytes(seed.seed).voters == seed.voters


def test_who_goes_on_alone_keeps_the_seed_for_those_who_voted_before(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0,),)))
    nodes[0].decide(ReassignPartitions(ID_A, ((0, (1, 0)),)))
    nodes[2].decide(ReassignPartitions(ID_A, ((0, (0,)),)))
    seat = nodes[0].replicas.seats.seat_of(ID_A, 0)
    assert seat is not None
    assert seat.group.is_alone
    seed = seed_in_log(nodes[0], 2)
    assert (seed.voters, set(seed.old_voters)) == ((0,), {0, 1, 2})


def returned_behind_the_end(node: Node, topic: str, topic_id: bytes) -> Node:
    """A checkpoint came behind the decision that left it out, and it ended before it followed."""
    state = node.state(topic=topic)
    sealed = replace(
        state,
        replicas=(0,),
        voters=(0,),
        wal_ids=state.wal_ids[:1],
        isr=state.isr[:1],
        generation=1,
        partition_epoch=state.partition_epoch + 1,
    )
    group_id = partition_group_id(topic_id, 0)
    image = WalRecord(WalRecordKind.SNAPSHOT, group_id, 9, 1, sealed.to_bytes())
    node.fallen().wal.append_turn([image])
    return node.returned(is_clean=True)


def test_who_finds_that_a_generation_ended_without_it_leaves_and_tells_the_others(
    nodes: list[Node],
) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    again = returned_behind_the_end(nodes[2], "clicks", ID_A)
    assert again.replicas.seats.seat_of(ID_A, 0) is None
    assert again.state().generation == 1
    assert [node.state().generation for node in nodes[:2]] == [1, 1]
    seat = nodes[0].replicas.seats.seat_of(ID_A, 0)
    assert seat is not None
    assert seat.group.voters == (0,)


def test_a_checkpoint_that_a_new_generation_makes_due_has_it(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path, checkpoint_bytes=1)
    group = PartitionGroup(wal, partition_group_id(ID_A, 0))
    begun = PartitionState((0,), (0,), isr=((0, 7),), partition_epoch=4, generation=1)
    group.begin_alone(begun)
    wal.close()
    again = PartitionGroup(RaftWal.open(tmp_path), group.group_id)
    assert again.state == begun


def test_a_generation_that_cannot_be_journaled_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = RaftWal.open(tmp_path)
    group = PartitionGroup(wal, partition_group_id(ID_A, 0))
    group.begin_alone(PartitionState((0,), (0,), isr=((0, 7),), generation=1))

    def refuse(*_: Any, **__: Any) -> None:
        raise KafkaStorageError(tmp_path, "no space")

    with monkeypatch.context() as full:
        full.setattr(wal, "_write_batch", refuse)
        with pytest.raises(KafkaStorageError):
            group.begin_alone(PartitionState((0,), (0,), isr=((0, 7),), generation=2))
    group.propose(Elect(0, 0, 7), lambda outcome: None)
    wal.close()
    again = PartitionGroup(RaftWal.open(tmp_path), group.group_id)
    assert (again.generation, again.state.leader) == (1, 0)
