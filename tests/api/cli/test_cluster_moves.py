"""Where `headrace cluster` sends replicas, and how it says how far they are."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from headrace.api.cli import cluster_admin, cluster_moves
from headrace.api.cli.admin_client import ConfigEntry, PartitionInfo, TopicInfo
from headrace.api.cli.cluster_admin import Moving, with_moves
from headrace.api.cli.cluster_moves import (
    check_arrived,
    check_brokers,
    spread_replicas,
    targets_without,
)
from headrace.api.cli.cluster_removal import run_removal
from headrace.api.cli.common import CliError
from headrace.api.cli.move_watch import progress_line


def topic(name: str, *replicas: tuple[int, ...]) -> TopicInfo:
    parts = tuple(
        PartitionInfo(index, held[0], 0, held, held, ()) for index, held in enumerate(replicas)
    )
    return TopicInfo(name, bytes(16), False, parts)


def test_brokers_are_named_once_and_known() -> None:
    assert check_brokers("2,0", [0, 1, 2]) == [2, 0]
    for text in ("0,0", "0,7", "x", ""):
        with pytest.raises(CliError):
            check_brokers(text, [0, 1, 2])


def test_more_copies_keep_those_that_are_there_and_spread_the_new_ones() -> None:
    clicks = topic("clicks", (0,), (1,), (2,))
    chosen = [(clicks, index) for index in range(3)]
    found = dict(spread_replicas(chosen, [0, 1, 2], 2, {}))
    assert [replicas[0] for replicas in found.values()] == [0, 1, 2]
    new = [replicas[1] for replicas in found.values()]
    assert sorted(new) == [0, 1, 2]
    assert dict(spread_replicas(chosen, [0, 1, 2], 1, {})) == {
        ("clicks", 0): [0],
        ("clicks", 1): [1],
        ("clicks", 2): [2],
    }
    with pytest.raises(CliError):
        dict(spread_replicas(chosen, [0, 1, 2], 4, {}))


def test_a_replica_out_of_the_cluster_is_not_kept() -> None:
    clicks = topic("clicks", (9, 1))
    assert dict(spread_replicas([(clicks, 0)], [0, 1, 2], 2, {})) == {("clicks", 0): [1, 0]}


def test_new_copies_stand_in_other_racks_and_last_on_brokers_that_are_down() -> None:
    racks = {0: "a", 1: "a", 2: "b", 3: "b"}
    clicks = topic("clicks", (0,), (0,), (3,))
    chosen = [(clicks, index) for index in range(3)]
    found = dict(spread_replicas(chosen, [0, 1, 2, 3], 2, racks))
    assert list(found.values()) == [[0, 2], [0, 3], [3, 1]]
    found = dict(spread_replicas(chosen, [0, 1, 2, 3], 2, racks, down=[2]))
    assert list(found.values()) == [[0, 3], [0, 3], [3, 1]]
    found = dict(spread_replicas(chosen, [0, 1, 2, 3], 4, racks, down=[2]))
    assert list(found.values()) == [[0, 3, 1, 2], [0, 3, 1, 2], [3, 0, 1, 2]]
    busy = topic("busy", (3, 1), (3, 1), (3, 0))
    assert dict(targets_without([busy], [1], [0, 2, 3], racks=racks)) == {
        ("busy", 0): [3, 0],
        ("busy", 1): [3, 0],
    }


def test_a_removed_broker_is_replaced_in_its_place_by_the_least_loaded() -> None:
    topics = [topic("a", (0, 1), (1, 2)), topic("b", (2, 0))]
    found = dict(targets_without(topics, [1], [0, 2, 3], racks={}))
    assert found == {("a", 0): [0, 3], ("a", 1): [3, 2]}


def test_what_leaves_a_broker_already_goes_on_where_it_goes() -> None:
    told = [topic("a", (3, 0, 1), (2, 1, 0), (0, 1))]
    moving = [Moving("a", 0, (3, 0, 1), (3,), (1,)), Moving("a", 1, (2, 1, 0), (2,), (0,))]
    topics = with_moves(told, moving)
    assert [part.replication_factor for part in topics[0].partitions] == [2, 2, 2]
    found = dict(targets_without(topics, [1], [0, 2, 3], racks={}))
    assert found == {("a", 0): [3, 0], ("a", 1): [2, 3], ("a", 2): [0, 2]}


def test_copies_that_are_only_to_come_are_not_missed() -> None:
    part = PartitionInfo(0, 1, 0, (2, 3, 1, 4), (1, 4), (), adding=(2, 3), removing=(1, 4))
    assert (part.replication_factor, part.is_under_replicated) == (2, False)
    assert replace(part, isr=(1,)).is_under_replicated
    moved = replace(part, replicas=(2, 3), isr=(2, 3))  # it was listed, and is done by now
    assert (moved.replication_factor, moved.is_under_replicated) == (2, False)
    assert replace(moved, isr=(2,)).is_under_replicated


class Moved:
    """A cluster whose partitions stand as in each of `looks` in turn."""

    def __init__(self, *looks: list[TopicInfo]) -> None:
        self._looks = list(looks)

    def topics(self, _names: object = None) -> list[TopicInfo]:
        return self._looks.pop(0)


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_removed_broker_is_empty_only_if_nothing_came_to_it_meanwhile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], comes_back: bool
) -> None:
    brokers = [{"broker_id": each, "is_fenced": False} for each in (0, 1, 2)]
    monkeypatch.setattr(cluster_admin, "describe_cluster", lambda _: {"brokers": brokers})
    monkeypatch.setattr(cluster_admin, "reassignments", lambda *_: [])
    monkeypatch.setattr(cluster_moves, "carry_out", lambda *_: 0)
    args = SimpleNamespace(broker_ids=[1], no_wait=False, json=False)
    after = topic("b", (0, 1) if comes_back else (0, 2))
    client = Moved([topic("a", (0, 1))], [topic("a", (0, 2)), after])
    if comes_back:
        with pytest.raises(CliError, match="broker 1: 1 partitions are there again"):
            run_removal(client, args)  # type: ignore[arg-type]
    else:
        assert run_removal(client, args) == 0  # type: ignore[arg-type]
        assert "holds nothing any more" in capsys.readouterr().out


def test_copies_of_internal_topics_that_nobody_can_take_go_once_the_broker_is_down(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers = [{"broker_id": each, "is_fenced": False} for each in (0, 1, 2)]
    monkeypatch.setattr(cluster_admin, "describe_cluster", lambda _: {"brokers": brokers})
    monkeypatch.setattr(cluster_admin, "reassignments", lambda *_: [])
    asked: list[object] = []
    monkeypatch.setattr(
        cluster_moves, "carry_out", lambda _c, _a, targets, _l: asked.append(targets) or 0
    )
    args = SimpleNamespace(broker_ids=[1], no_wait=False, json=False)
    internal = replace(topic("__consumer_offsets", (0, 1, 2)), is_internal=True)
    client = Moved([topic("a", (0, 1)), internal], [topic("a", (0, 2)), internal])
    assert run_removal(client, args) == 0  # type: ignore[arg-type]
    assert asked == [{("a", 0): [0, 2]}]
    assert "but copies of __consumer_offsets, which go once" in capsys.readouterr().out
    # Where another broker can take them they move at once, and so they do off one that is down.
    assert dict(targets_without([internal], [1], [0, 2, 3], racks={}, up=[1])) == {
        ("__consumer_offsets", 0): [0, 3, 2]
    }
    assert dict(targets_without([internal], [1], [0, 2], racks={})) == {
        ("__consumer_offsets", 0): [0, 2]
    }


def test_a_move_that_another_one_replaced_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = {("a", 0): [1, 2], ("a", 1): [1, 2], ("b", 0): None}
    late, there, taken = (topic("a", (1, 2), held) for held in ((0, 2), (1, 2), (0, 2)))
    check_arrived(Moved([late], [there]), targets)  # type: ignore[arg-type]
    monkeypatch.setattr(cluster_moves, "_TOLD_WITHIN_S", -1.0)
    with pytest.raises(CliError, match=r"1 of 2 partitions .* a-1 is on 0,2, not on 1,2"):
        check_arrived(Moved([taken]), targets)  # type: ignore[arg-type]


def test_without_a_spare_broker_the_copies_become_fewer() -> None:
    assert dict(targets_without([topic("a", (0, 1))], [1], [0], racks={})) == {("a", 0): [0]}
    with pytest.raises(CliError, match="alone"):
        dict(targets_without([topic("a", (1,))], [1], [], racks={}))


def test_progress_says_what_is_there_and_what_moves() -> None:
    moving = [Moving("clicks", 2, (0, 1, 2), (2,), (0,))]
    line = progress_line(4, moving, 1.25)
    assert line == (
        "moving [###############.....] 3 of 4 partitions are there, 1.2 s; clicks-2 to 2"
    )
    assert moving[0].target == (1, 2)


def test_what_became_of_partitions_is_said_as_it_was_asked() -> None:
    moved, cancelled = {("a", 0): [1, 2]}, {("a", 0): None}
    said = [
        cluster_moves._became(targets, is_done=is_done)
        for targets in (moved, cancelled)
        for is_done in (True, False)
    ]
    assert said == [
        "moved",
        "are on the move",
        "are back where they were",
        "go back to where they were",
    ]


class Settings(Moved):
    """Its topics have these min.insync.replicas."""

    def __init__(self, least: dict[str, int], *looks: list[TopicInfo]) -> None:
        super().__init__(*looks)
        self.least = least

    def configs(self, _kind: int, name: str) -> list[ConfigEntry]:
        text = str(self.least.get(name, 1))
        return [ConfigEntry("min.insync.replicas", text, 5, False, False, ())]


@pytest.mark.parametrize("is_allowed", [False, True])
def test_fewer_copies_are_announced_and_too_few_refused_before_anything_moves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_allowed: bool
) -> None:
    brokers = [{"broker_id": each, "is_fenced": False} for each in (0, 1, 2)]
    monkeypatch.setattr(cluster_admin, "describe_cluster", lambda _: {"brokers": brokers})
    monkeypatch.setattr(cluster_admin, "reassignments", lambda *_: [])
    asked: list[object] = []
    monkeypatch.setattr(cluster_moves, "carry_out", lambda *args: asked.append(args[2]) or 0)
    before = [topic("a", (0, 1, 2), (0, 1, 2)), topic("b", (0, 1, 2)), topic("c", (0, 1))]
    after = [topic("a", (0, 2), (0, 2)), topic("b", (0, 2)), topic("c", (0, 2))]
    args = SimpleNamespace(
        broker_ids=[1], no_wait=False, json=False, allow_under_min_isr=is_allowed
    )
    client = Settings({"b": 3}, before, after)
    announced = (
        "3 partitions of 2 topics have fewer copies without broker 1, since no other broker is up "
        "to take them: a (3 -> 2), b (3 -> 2, min.insync.replicas=3)\n"
    )
    if is_allowed:
        assert run_removal(client, args) == 0  # type: ignore[arg-type]
        assert len(asked) == 1
    else:
        with pytest.raises(CliError, match=r"^b .* fewer copies .* --allow-under-min-isr$"):
            run_removal(client, args)  # type: ignore[arg-type]
        assert asked == []
    assert capsys.readouterr().err == announced


def test_of_brokers_removed_at_once_none_takes_what_another_held() -> None:
    topics = [topic("a", (3, 4), (0, 3), (4, 1))]
    assert dict(targets_without(topics, [3, 4], [0, 1, 2], racks={})) == {
        ("a", 0): [2, 0],
        ("a", 1): [0, 1],
        ("a", 2): [2, 1],
    }
    # With one other broker left one copy goes, the other is taken over.
    assert dict(targets_without([topic("a", (3, 4))], [3, 4], [0], racks={})) == {("a", 0): [0]}
    internal = replace(topic("__consumer_offsets", (0, 3, 4)), is_internal=True)
    assert dict(targets_without([internal], [3, 4], [0, 1], racks={}, up=[3, 4])) == {
        ("__consumer_offsets", 0): [0, 1, 4]
    }
    assert dict(targets_without([internal], [3, 4], [0, 1], racks={})) == {
        ("__consumer_offsets", 0): [0, 1]
    }
