"""Who is throttled for a move: every copy that is there, and every new one."""

from typing import Any

from headrace.api.cli.cluster_admin import Moving
from headrace.api.cli.replication_throttles import Move, limit, moves_of


class ToldClient:
    """Remembers what is set on whom."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def alter_configs(self, _kind: int, name: str, *, sets: Any, deletes: Any = ()) -> None:
        self.told[name] = list(sets.values())


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
