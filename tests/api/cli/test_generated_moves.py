"""What kafka-reassign-partitions.sh --generate proposes."""

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.cli import cluster_admin
from headrace.api.cli.kafka_scripts import reassign_partitions
from headrace.core.errors import HeadraceError

CURRENT = {("clicks", index): [0, 1] for index in range(6)}


def proposed(
    monkeypatch: pytest.MonkeyPatch, racks: dict[int, str | None], wanted: list[int], aware: bool
) -> dict[tuple[str, int], list[int]]:
    rows = [
        {"broker_id": each, "host": "h", "port": 9092, "rack": rack, "is_fenced": each == 9}
        for each, rack in racks.items()
    ]
    monkeypatch.setattr(cluster_admin, "describe_cluster", lambda _: {"brokers": rows})
    client: Any = SimpleNamespace()
    registered = reassign_partitions._registered(client, wanted, is_rack_aware=aware)
    return reassign_partitions._placed_anew("clicks", CURRENT, registered)


def test_copies_of_a_partition_are_proposed_in_different_racks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    racks: dict[int, str | None] = {0: "a", 1: "a", 2: "b", 3: "b"}
    for _ in range(10):  # it begins anywhere
        found = proposed(monkeypatch, racks, [0, 1, 2, 3], aware=True)
        assert sorted(found) == sorted(CURRENT)
        assert all(racks[first] != racks[second] for first, second in found.values())
    found = proposed(monkeypatch, racks, [0, 1], aware=False)
    assert all(sorted(replicas) == [0, 1] for replicas in found.values())


def test_a_proposal_that_cannot_be_made_is_refused_as_kafka_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(HeadraceError, match="Not all brokers have rack information"):
        proposed(monkeypatch, {0: "a", 1: None}, [0, 1], aware=True)
    # 9 is down.
    with pytest.raises(HeadraceError, match=r"replication factor of 2 .* only 1 broker"):
        proposed(monkeypatch, {0: None, 9: None}, [0, 9], aware=True)
