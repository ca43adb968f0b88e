"""Two brokers that differ on which groups sleep: compared after some pings, and woken."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.raft.group_host import GroupHost
from headrace.raft.link_messages import LinkMessage
from headrace.raft.liveness import QuiesceDigest
from headrace.raft.message_codec import decode_frame
from headrace.raft.sleep_check import DIGEST_PATIENCE, SleepCheck
from tests.raft.test_liveness import Sleeper


class Broker:
    """What the check asks of its host, and what it has sent and woken."""

    def __init__(self, broker_id: int) -> None:
        self.digest = QuiesceDigest(broker_id)
        self.sent: list[tuple[int, Any]] = []
        self.woken: list[str] = []
        self.groups: dict[str, Any] = {}
        self.check = SleepCheck(broker_id, cast(GroupHost, self))

    def send_message(self, broker_id: int, message: Any) -> None:
        self.sent.append((broker_id, message))

    def open_group(self, group_id: str, *, is_asleep: bool, term: int = 4) -> None:
        def peer_up(_broker_id: int, _is_new_session: bool) -> None:
            self.woken.append(group_id)

        self.groups[group_id] = SimpleNamespace(group=SimpleNamespace(peer_up=peer_up))
        if is_asleep:
            self.digest.note_asleep(Sleeper(group_id, term=term))


def ping(leader: Broker, follower: Broker) -> None:
    (message,) = decode_frame(leader.check.ping_payload(2))
    assert message[1] == LinkMessage.PING
    follower.check.receive_ping(1, str(message[0]), *message[2:])


@pytest.fixture
def pair() -> tuple[Broker, Broker]:
    """The leader of three groups and a follower, who does not sleep in one of them."""
    leader, follower = Broker(1), Broker(2)
    for group_id in ("a", "b", "c"):
        leader.open_group(group_id, is_asleep=True)
        follower.open_group(group_id, is_asleep=group_id != "b")
    return leader, follower


def test_who_differs_for_long_is_told_what_to_wake(pair: tuple[Broker, Broker]) -> None:
    leader, follower = pair
    for _ in range(DIGEST_PATIENCE - 1):
        ping(leader, follower)
    assert follower.sent == []
    ping(leader, follower)
    ((to_id, (_, kind, sleepers)),) = follower.sent
    assert (to_id, kind) == (1, LinkMessage.ASLEEP)
    leader.check.receive_asleep(2, "", sleepers)
    assert leader.woken == ["b"]
    ping(leader, follower)
    assert len(follower.sent) == 1, "patience begins anew"


@pytest.mark.parametrize("how", ["they agree in between", "the link is new"])
def test_only_pings_in_a_row_count(pair: tuple[Broker, Broker], how: str) -> None:
    leader, follower = pair
    for _ in range(3):
        for _ in range(DIGEST_PATIENCE - 1):
            ping(leader, follower)
        if how == "the link is new":
            follower.check.link_up(1)
        else:
            follower.digest.note_asleep(Sleeper("b"))
            ping(leader, follower)
            follower.digest.note_awake("b")
    assert follower.sent == []


def test_another_term_is_another_sleep_and_unknown_groups_are_passed_over() -> None:
    leader = Broker(1)
    leader.open_group("a", is_asleep=True, term=5)
    leader.check.receive_asleep(2, "", [("a", 4), ("gone", 1)])
    assert leader.woken == ["a"]
