"""Wake lists and the digest of sleeping groups."""

from dataclasses import dataclass

from headrace.raft.liveness import QuiesceDigest, WakeLists


@dataclass
class Sleeper:
    group_id: str
    voters: tuple[int, ...] = (1, 2, 3)
    term: int = 4
    leader_id: int | None = 1
    left_out: tuple[int, ...] = ()

    @property
    def sleeping_voters(self) -> tuple[int, ...]:
        return tuple(voter for voter in self.voters if voter not in self.left_out)


def test_a_leader_and_its_follower_agree_on_what_sleeps() -> None:
    leads, follows = QuiesceDigest(1), QuiesceDigest(2)
    for name in ("a", "b", "c"):
        leads.note_asleep(Sleeper(name))
        follows.note_asleep(Sleeper(name))
    assert leads.digest(1, 2) == follows.digest(1, 2)
    assert leads.digest(1, 2)[0] == 3
    assert leads.digest(1, 3) == leads.digest(1, 2)


def test_a_difference_of_one_group_or_of_one_term_shows() -> None:
    leads, follows = QuiesceDigest(1), QuiesceDigest(2)
    leads.note_asleep(Sleeper("a"))
    assert leads.digest(1, 2) != follows.digest(1, 2)
    follows.note_asleep(Sleeper("a", term=3))
    assert leads.digest(1, 2) != follows.digest(1, 2)
    follows.note_asleep(Sleeper("a"))
    assert leads.digest(1, 2) == follows.digest(1, 2)
    assert leads.asleep(1, 2) == follows.asleep(1, 2) == {"a": 4}


def test_a_voter_that_was_left_out_is_not_asked_what_sleeps() -> None:
    leads = QuiesceDigest(1)
    leads.note_asleep(Sleeper("a", left_out=(3,)))
    assert leads.digest(1, 2)[0] == 1
    assert leads.digest(1, 3) == (0, 0)
    assert leads.asleep(1, 3) == {}
    leads.note_awake("a")
    assert leads.digest(1, 2) == (0, 0)


def test_what_wakes_leaves_no_trace() -> None:
    digest = QuiesceDigest(1)
    for number in range(50):
        digest.note_asleep(Sleeper(str(number), term=number, leader_id=1 + number % 3))
    for number in range(50):
        digest.note_awake(str(number))
    digest.note_awake("never asleep")
    digest.note_asleep(Sleeper("leaderless", leader_id=None))
    for leader_id in (1, 2, 3):
        assert digest.digest(leader_id, 1) == (0, 0)
        assert digest.asleep(leader_id, 1) == {}


def test_groups_are_found_by_the_brokers_that_vote_in_them() -> None:
    lists = WakeLists()
    first, second = Sleeper("a", (1, 2)), Sleeper("b", (2, 3))
    lists.add_group(first)
    lists.add_group(second)
    assert lists.group_ids_of(2) == ["a", "b"]
    lists.drop_group(first)
    assert (lists.group_ids_of(1), lists.group_ids_of(2)) == ([], ["b"])
    assert lists.group_ids_of(9) == []
