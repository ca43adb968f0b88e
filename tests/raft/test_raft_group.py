"""One Raft group on three imagined brokers: elections, commits, sleep, snapshots, seals."""

import gc
import itertools
import tracemalloc

import pytest

from headrace.raft.errors import GroupSealedError, NotControllerError, UnknownOutcomeError
from headrace.raft.group_voter import RETRY_S
from headrace.raft.message_codec import GroupMessage
from headrace.raft.wal_replay import GroupImage
from tests.support.raft_cluster import GROUP_ID, RaftCluster


def test_three_brokers_elect_one_controller_and_commit_on_all() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    outcomes = cluster.propose(leader, b"one")
    cluster.settle()
    assert outcomes == [(3, 1)]
    assert [cluster.payloads(b) for b in cluster.voters] == [[b"one"]] * 3
    assert all(cluster.group(b).leader_id == leader for b in cluster.voters)
    assert cluster.members[leader].roles == [True]


def test_the_first_voter_leads_at_once_when_it_campaigns() -> None:
    cluster = RaftCluster()
    cluster.group(1).campaign_soon()
    cluster.members[1].finish_turn()
    cluster.settle()
    assert cluster.leaders() == [1]
    assert cluster.group(1).term == 1


def test_a_quiet_group_sleeps_and_costs_nothing() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    cluster.run(2.0)
    assert all(cluster.group(b).is_quiesced for b in cluster.voters)
    counts = [(m.tick_count, m.sent_count, m.sync_count) for m in cluster.members.values()]
    cluster.run(60.0)
    assert counts == [(m.tick_count, m.sent_count, m.sync_count) for m in cluster.members.values()]
    assert cluster.leaders() == [leader]
    assert cluster.propose(leader, b"awake") == []
    cluster.settle()
    assert cluster.payloads(1) == cluster.payloads(2) == cluster.payloads(3) == [b"awake"]


def counted_costs(cluster: RaftCluster) -> list[tuple[int, int, int]]:
    return [(m.tick_count, m.sent_count, m.sync_count) for m in cluster.members.values()]


def late_opener() -> tuple[RaftCluster, int]:
    """Broker 3 is linked and votes in the group, and has not opened it; who leads without it."""
    cluster = RaftCluster(is_started=False)
    for broker_id in (1, 2):
        cluster.members[broker_id].start()
    cluster.members[3].is_running = True
    cluster.heal()
    cluster.run(3.0)
    (leader,) = (b for b in (1, 2) if cluster.group(b).is_controller)
    return cluster, leader


def test_a_group_sleeps_without_a_voter_that_has_not_opened_it() -> None:
    cluster, leader = late_opener()
    assert all(cluster.group(b).is_quiesced for b in (1, 2))
    before = counted_costs(cluster)
    cluster.run(60.0)
    assert counted_costs(cluster) == before
    cluster.propose(leader, b"news")
    cluster.run(0.8)  # what is known of broker 3 need not be found out again
    assert all(cluster.group(b).is_quiesced for b in (1, 2))
    assert cluster.payloads(1) == cluster.payloads(2) == [b"news"]


def test_a_voter_that_opens_its_group_late_wakes_the_leader_and_deposes_nobody() -> None:
    cluster, leader = late_opener()
    cluster.propose(leader, b"news")
    cluster.run(2.0)
    term = cluster.group(leader).term
    assert cluster.group(leader).is_quiesced
    cluster.members[3].start()
    cluster.members[3].finish_turn()
    cluster.run(2.0)
    assert cluster.payloads(3) == [b"news"]
    assert cluster.leaders() == [leader]
    assert cluster.group(leader).term == cluster.group(3).term == term
    assert all(cluster.group(b).is_quiesced for b in cluster.voters)
    assert cluster.group(leader).sleeping_voters == (1, 2, 3)


def test_an_answer_that_comes_late_wakes_a_leader_that_sleeps_without_it() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    other, late = [b for b in cluster.voters if b != leader]
    cluster.propose(leader, b"one")
    for _ in range(40):
        cluster.now_s += 0.05
        for broker_id in (leader, other):
            cluster.tick(broker_id)
            cluster.deliver(leader, other)
            cluster.deliver(other, leader)
    assert cluster.group(leader).is_quiesced
    assert cluster.group(other).is_quiesced
    assert late not in cluster.group(leader).sleeping_voters
    cluster.deliver(leader, late, 1)
    cluster.deliver(late, leader)
    assert not cluster.group(leader).is_quiesced
    cluster.run(2.0)
    assert cluster.payloads(late) == [b"one"]
    assert all(cluster.group(b).is_quiesced for b in cluster.voters)
    assert cluster.group(leader).sleeping_voters == cluster.voters


def opened_by(size: int, openers: tuple[int, ...]) -> RaftCluster:
    """Every broker is linked, these alone have opened the group, and some time has passed."""
    cluster = RaftCluster(size, is_started=False)
    for broker_id, member in cluster.members.items():
        if broker_id in openers:
            member.start()
        member.is_running = True
    cluster.heal()
    cluster.run(20.0)
    return cluster


@pytest.mark.parametrize(("size", "openers", "last"), [(3, (1,), 2), (3, (3,), 1), (5, (2, 4), 5)])
def test_a_group_that_too_few_have_opened_sleeps_until_one_more_does(
    size: int, openers: tuple[int, ...], last: int
) -> None:
    cluster = opened_by(size, openers)
    assert all(cluster.group(b).is_quiesced for b in openers)
    before = counted_costs(cluster)
    cluster.run(60.0)
    assert counted_costs(cluster) == before
    assert {cluster.group(b).term for b in openers} == {0}
    cluster.members[last].start()
    cluster.run(1.0)
    assert any(cluster.group(b).is_controller for b in (*openers, last))


def test_an_answer_that_comes_late_wakes_a_copy_that_had_given_up_asking() -> None:
    cluster = opened_by(5, (1,))
    cluster.members[2].start()
    cluster.group(1).campaign_soon()
    cluster.members[1].finish_turn()
    while not cluster.group(1).is_quiesced:  # what it sends arrives nowhere yet
        cluster.now_s += 0.05
        cluster.tick(1)
    cluster.deliver(1, 2)
    cluster.deliver(2, 1)
    assert not cluster.group(1).is_quiesced


def test_two_of_three_sleep_while_a_broker_is_dead_and_all_do_once_it_is_back() -> None:
    cluster = RaftCluster()
    dead = cluster.elect()
    cluster.crash(dead)
    cluster.propose(cluster.elect(), b"while it was away")
    cluster.run(2.0)
    before = counted_costs(cluster)
    cluster.run(60.0)
    assert counted_costs(cluster) == before
    assert all(cluster.group(b).is_quiesced for b in cluster.voters if b != dead)
    cluster.restart(dead)
    cluster.run(2.0)
    assert cluster.payloads(dead) == [b"while it was away"]
    assert all(cluster.group(b).is_quiesced for b in cluster.voters)


def test_a_dead_leader_is_replaced_within_a_fifth_of_a_second() -> None:
    cluster = RaftCluster()
    old = cluster.elect()
    cluster.run(2.0)
    cluster.crash(old)
    died_s = cluster.now_s
    assert cluster.elect() != old
    assert cluster.now_s - died_s <= 0.2


@pytest.mark.parametrize("seed", range(10))
def test_a_follower_that_notices_the_leaders_silence_later_votes_at_once_then(seed: int) -> None:
    cluster = RaftCluster(seed=seed)
    leader = cluster.elect()
    cluster.run(2.0)
    earlier, later = (b for b in cluster.voters if b != leader)
    cluster.unlink(leader, earlier)
    cluster.run(0.1)
    assert cluster.group(later).leader_id == leader
    cluster.unlink(leader, later)
    cluster.run(0.05)
    assert cluster.group(earlier).is_controller
    assert cluster.group(later).leader_id == earlier


def test_two_that_stand_before_they_hear_of_each_other_do_not_split_the_votes() -> None:
    """With hundreds of elections at once, the second voter's turn comes before the first's word."""
    for seed in range(20):
        cluster = RaftCluster(seed=seed)
        dead = cluster.elect()
        cluster.run(2.0)
        term = cluster.group(dead).term
        cluster.crash(dead)
        for _ in range(4):
            cluster.now_s += 0.05
            for broker_id in cluster.voters:
                cluster.tick(broker_id)  # nothing is delivered meanwhile
        cluster.settle()
        first = min(b for b in cluster.voters if b != dead)
        assert cluster.leaders() == [first], seed
        assert cluster.group(first).term == term + 1, seed


def test_a_voter_that_let_another_go_first_does_not_stand_while_that_one_is_busy() -> None:
    cluster = RaftCluster()
    cluster.crash(cluster.elect())
    first, second = (b for b in cluster.voters if cluster.members[b].is_running)
    cluster.group(first).election_deadline_s = cluster.now_s
    cluster.tick(first)
    cluster.deliver(first, second)
    for _ in range(4):
        cluster.now_s += 0.05
        cluster.tick(second)
    asked = [message[1] for message in cluster.queues[second, first]]
    assert asked == [GroupMessage.PRE_VOTE_REPLY]
    cluster.settle()
    assert cluster.leaders() == [first]


def test_a_restarted_broker_catches_up_and_does_not_disturb() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    other = next(b for b in cluster.voters if b != leader)
    cluster.crash(other)
    for number in range(5):
        cluster.propose(leader, b"%d" % number)
        cluster.settle()
    term = cluster.group(leader).term
    cluster.restart(other)
    cluster.run(2.0)
    assert cluster.payloads(other) == [b"0", b"1", b"2", b"3", b"4"]
    assert cluster.group(leader).term == term
    assert cluster.leaders() == [leader]


def test_a_follower_far_behind_gets_a_snapshot() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    other = next(b for b in cluster.voters if b != leader)
    cluster.crash(other)
    for number in range(400):
        cluster.propose(leader, b"%d" % number)
        cluster.settle()
    cluster.restart(other)
    cluster.run(1.0)
    assert cluster.payloads(other) == cluster.payloads(leader)
    assert any(payload is None for _, payload, _ in cluster.members[other].applied)


def test_a_proposal_at_a_follower_names_the_controller() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    other = next(b for b in cluster.voters if b != leader)
    (error,) = cluster.propose(other, b"x")
    assert isinstance(error, NotControllerError)
    assert error.controller_id == leader


def test_a_proposal_that_cannot_be_committed_ends_with_its_deadline() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    cluster.isolate(leader)
    outcomes = cluster.propose(leader, b"x", timeout_s=1.0)
    cluster.run(0.9)
    assert outcomes == []
    cluster.run(0.2)
    assert isinstance(outcomes[0], UnknownOutcomeError)


def test_a_proposal_that_a_newer_leader_overtook_was_certainly_not_carried_out() -> None:
    cluster = RaftCluster()
    old = cluster.elect()
    cluster.isolate(old)
    outcomes = cluster.propose(old, b"lost", timeout_s=60.0)
    cluster.run(2.0)
    cluster.heal()
    cluster.run(2.0)
    assert isinstance(outcomes[0], NotControllerError)
    assert all(b"lost" not in cluster.payloads(b) for b in cluster.voters)


def test_a_seal_is_the_last_command_of_its_generation() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    first = cluster.propose(leader, b"seal:1,2,4")
    second = cluster.propose(leader, b"behind")
    cluster.settle()
    assert first == [(3, 1)]
    assert isinstance(second[0], GroupSealedError)
    assert isinstance(cluster.propose(leader, b"later")[0], GroupSealedError)
    assert [cluster.payloads(b) for b in cluster.voters] == [[b"seal:1,2,4"]] * 3
    assert all(cluster.group(b).is_sealed for b in cluster.voters)


def test_leadership_moves_where_it_is_asked_to() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    other = next(b for b in cluster.voters if b != leader)
    cluster.propose(leader, b"one")
    cluster.settle()
    cluster.group(leader).transfer_to(other)
    cluster.members[leader].finish_turn()
    cluster.settle()
    assert cluster.leaders() == [other]
    assert cluster.members[leader].roles == [True, False]


def test_a_whole_cluster_comes_back_with_everything_committed() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    for number in range(3):
        cluster.propose(leader, b"%d" % number)
    cluster.settle()
    term = cluster.group(leader).term
    for broker_id in cluster.voters:
        cluster.crash(broker_id)
    for broker_id in cluster.voters:
        cluster.restart(broker_id)
    leader = cluster.elect()
    cluster.run(1.0)
    assert cluster.group(leader).term > term
    assert [cluster.payloads(b) for b in cluster.voters] == [[b"0", b"1", b"2"]] * 3


def test_a_group_with_one_voter_decides_alone() -> None:
    cluster = RaftCluster(1)
    assert cluster.elect() == 1
    assert cluster.propose(1, b"x") == [(3, 1)]


def test_of_several_refusals_the_one_that_goes_back_furthest_counts() -> None:
    """Two refusals, one going back less far than the other, once took turns for ever."""
    cluster = RaftCluster()
    leader = cluster.elect()
    other = next(b for b in cluster.voters if b != leader)
    cluster.unlink(leader, other)
    for number in range(6):
        cluster.propose(leader, b"%d" % number)
        cluster.settle()
    cluster.link(leader, other)
    member, last = cluster.members[leader], cluster.group(leader).last_index
    cluster.queues[leader, other].clear()
    for next_index in (last - 2, last):
        reply = (GROUP_ID, GroupMessage.APPEND_REPLY, member.group.term, next_index, True, False)
        member.group.receive(other, reply)
    member.finish_turn()
    message = cluster.queues[leader, other][-1]
    assert message[:2] == (GROUP_ID, GroupMessage.APPEND)
    assert message[4] == last - 3


def test_a_follower_that_lost_what_it_had_asked_for_gets_it_again() -> None:
    """A leader once took the second refusal for an answer to what it had sent before the first."""
    cluster = RaftCluster()
    leader = cluster.elect()
    other = next(b for b in cluster.voters if b != leader)
    cluster.unlink(leader, other)
    for number in range(6):
        cluster.propose(leader, b"%d" % number)
        cluster.settle()
    cluster.link(leader, other)
    term, last = cluster.group(leader).term, cluster.group(other).last_index
    cluster.queues[leader, other].clear()
    refusal = (GROUP_ID, GroupMessage.APPEND_REPLY, term, last + 1, True, False)
    cluster.group(leader).receive(other, refusal)
    cluster.members[leader].finish_turn()
    # Its group was not open yet: the link stands, and nobody will tell the leader of the loss.
    assert cluster.queues[leader, other]
    cluster.queues[leader, other].clear()
    cluster.run(5.0)
    assert cluster.payloads(other) == [b"%d" % number for number in range(6)]


def test_elections_that_nobody_wins_grow_rarer_until_somebody_leads() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    cluster.crash(leader)
    deaf, other = [b for b in cluster.voters if b != leader]
    tries = []
    for _ in range(200):
        cluster.now_s += 0.05
        cluster.tick(deaf)
        asked = cluster.queues[deaf, other]
        if any(message[1] == GroupMessage.PRE_VOTE for message in asked):
            tries.append(cluster.now_s)
            asked.clear()
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps[0] <= 0.6
    assert 1.0 <= gaps[-1] <= 2.1
    cluster.run(4.0)
    assert len(cluster.leaders()) == 1
    assert {cluster.group(b)._retry_s for b in cluster.leaders()} == {RETRY_S}


def test_a_group_that_has_nothing_to_do_takes_two_and_a_half_kib() -> None:
    """Of thousands of groups most have never had a command, a vote or a transfer of their own."""
    cluster = RaftCluster()
    member, count = cluster.members[1], 500
    names = [f"partition-y-{number}" for number in range(count)]
    cluster.make_group(member, "warm", cluster.voters, GroupImage())
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        groups = [cluster.make_group(member, n, cluster.voters, GroupImage()) for n in names]
        member._forget_turn()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(groups) == count
    assert (after - before) / count < 2560


def test_a_decision_takes_one_acknowledgement_of_each_follower() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    cluster.run(0.2)
    before = {b: member.sent_count for b, member in cluster.members.items()}
    for number in range(10):
        cluster.propose(leader, b"%d" % number)
        cluster.settle()
    for broker_id, member in cluster.members.items():
        assert cluster.payloads(broker_id) == [b"%d" % number for number in range(10)]
        # A leader sends the entry and that it is committed, to each of the two.
        expected = 10 * (4 if broker_id == leader else 1)
        assert member.sent_count - before[broker_id] == expected


def test_heartbeats_are_answered_also_where_nothing_is_new() -> None:
    cluster = RaftCluster()
    leader = cluster.elect()
    cluster.propose(leader, b"x")
    cluster.settle()
    follower = next(b for b in cluster.voters if b != leader)
    before = cluster.members[follower].sent_count
    cluster.now_s += 0.3
    cluster.tick(leader)
    cluster.settle()
    assert cluster.members[follower].sent_count == before + 1
