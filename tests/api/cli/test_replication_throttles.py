"""Who is throttled for a move: every copy that is there, and every new one."""

from typing import Any

import pytest

from headrace.api.cli.admin_client import AdminError, ConfigEntry
from headrace.api.cli.broker_connection import BrokerUnreachableError
from headrace.api.cli.cluster_admin import Moving
from headrace.api.cli.replication_throttles import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    Move,
    clear_brokers,
    lift_left_behind,
    limit,
    moves_of,
    not_throttled,
    still_throttled,
)
from headrace.api.wire.error_codes import ErrorCode
from headrace.core.errors import HeadraceError

GONE: dict[str, HeadraceError] = {
    "1": BrokerUnreachableError("127.0.0.1:9093", "Connection refused"),
    "3": AdminError(ErrorCode.BROKER_NOT_AVAILABLE, "broker 3"),
}


class ToldClient:
    """Remembers what is set on whom."""

    def __init__(self, failing: dict[str, HeadraceError] | None = None) -> None:
        self.told: dict[str, Any] = {}
        self.failing = failing or {}

    def alter_configs(self, _kind: int, name: str, *, sets: Any, deletes: Any = ()) -> None:
        if name in self.failing:
            raise self.failing[name]
        self.told[name] = [*sets.values(), *deletes]


def test_a_move_goes_from_those_that_hold_it_to_those_that_are_new() -> None:
    moves = moves_of((), {("a", 0): (0, 1)}, {("a", 0): (1, 2)})
    assert moves == {("a", 0): Move(frozenset({0, 1}), frozenset({2}))}


def test_what_is_under_way_stays_throttled_and_keeps_its_sources() -> None:
    under_way = [
        Moving("a", 0, replicas=(0, 1, 2), adding=(2,), removing=(0,)),
        Moving("b", 3, replicas=(1, 0), adding=(0,), removing=()),
    ]
    moves = moves_of(under_way, {("a", 0): (0, 1, 2)}, {("a", 0): (3, 1)})
    assert moves == {
        ("a", 0): Move(frozenset({0, 1}), frozenset({3})),
        ("b", 3): Move(frozenset({1}), frozenset({0})),
    }


def test_topics_list_pairs_in_the_order_of_their_text_and_brokers_have_the_rate() -> None:
    client: Any = ToldClient()
    current = {("a", index): (0, 1) for index in (2, 10)}
    limit(client, moves_of((), current, {("a", 2): (1, 4), ("a", 10): (0, 1)}), 700)
    assert client.told == {
        "a": ["10:0,10:1,2:0,2:1", "2:4"],
        "0": ["700", "700"],
        "1": ["700", "700"],
        "4": ["700", "700"],
    }


def test_brokers_that_are_down_are_named_and_the_others_are_throttled_all_the_same() -> None:
    client: Any = ToldClient(GONE)
    moves = moves_of((), {("a", 0): (0, 1)}, {("a", 0): (2, 3)})
    down = limit(client, moves, 700)
    assert (down, {name for name in client.told if name.isdigit()}) == ([1, 3], {"0", "2"})
    assert not_throttled(down) == "not throttled, since they do not answer: broker 1, broker 3"


def test_every_broker_that_answers_is_cleared() -> None:
    client: Any = ToldClient(GONE)
    assert clear_brokers(client, (3, 2, 1, 0)) == [1, 3]
    assert client.told.keys() == {"0", "2"}
    assert {LEADER_RATE, FOLLOWER_RATE} <= set(client.told["0"])
    assert f"headrace configs unset --broker 1 {LEADER_RATE} {FOLLOWER_RATE}" in still_throttled(
        [1]
    )


def test_what_a_broker_refuses_for_another_reason_is_not_taken_for_silence() -> None:
    client: Any = ToldClient({"0": AdminError(ErrorCode.INVALID_CONFIG, "broker 0")})
    with pytest.raises(AdminError, match="INVALID_CONFIG"):
        clear_brokers(client, (0, 1))


class LeftBehind(ToldClient):
    """Topics whose lists, and where they were set, a test gives; 1 is the topic itself."""

    def __init__(self, **topics: tuple[str, int]) -> None:
        super().__init__()
        self.topics = topics

    def configs(self, _kind: int, name: str) -> list[ConfigEntry]:
        text, source = self.topics[name]
        return [ConfigEntry(FOLLOWER_REPLICAS, text, source, False, False, ())]


def test_what_earlier_moves_left_is_lifted_but_not_what_moves_or_a_person_set() -> None:
    client: Any = LeftBehind(
        left=("0:1,1:2", 1), moving=("0:3", 1), everything=("*", 1), plain=("", 5)
    )
    under_way = [Moving("moving", 0, replicas=(2, 3), adding=(3,), removing=())]
    lifted = lift_left_behind(client, ["plain", "moving", "left", "everything"], under_way)
    assert lifted == (["left"], [])
    # Broker 2 takes part in a move that is under way, whose rate it keeps.
    assert client.told.keys() == {"left", "1"}
    assert FOLLOWER_REPLICAS in client.told["left"]
    assert {LEADER_RATE, FOLLOWER_RATE} <= set(client.told["1"])
