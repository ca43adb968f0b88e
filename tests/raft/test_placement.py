"""Placement: every broker its share, followers elsewhere, racks apart."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.raft.errors import (
    InvalidPartitionsError,
    InvalidReplicationFactorError,
)
from headrace.raft.placement import (
    choose_voters,
    grown_assignments,
    place_partitions,
)
from headrace.raft.topic_image import BrokerRegistration


def brokers(count: int, racks: int = 0) -> list[BrokerRegistration]:
    return [
        BrokerRegistration(n, 1, "h", 9092, f"r{n % racks}" if racks else None)
        for n in range(count)
    ]


def test_one_broker_holds_everything() -> None:
    placed = place_partitions(brokers(1), partition_count=3, replication_factor=1, start_index=5)
    assert placed == ((0,), (0,), (0,))


def test_a_bad_count_or_factor_is_refused_with_what_is_possible() -> None:
    with pytest.raises(InvalidPartitionsError):
        place_partitions(brokers(1), partition_count=0, replication_factor=1)
    for factor in (0, 2):
        with pytest.raises(InvalidReplicationFactorError, match="1 to 1 copies"):
            place_partitions(brokers(1), partition_count=1, replication_factor=factor)


def test_added_partitions_go_on_where_the_old_ones_ended() -> None:
    whole = place_partitions(brokers(4), partition_count=9, replication_factor=3, start_index=2)
    added = place_partitions(
        brokers(4), partition_count=4, replication_factor=3, start_index=2, first_partition=5
    )
    assert added == whole[5:]


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 100), st.data())
def test_leaders_and_copies_are_spread_evenly(
    count: int, partitions: int, start: int, data: st.DataObject
) -> None:
    factor = data.draw(st.integers(1, count))
    placed = place_partitions(
        brokers(count), partition_count=partitions, replication_factor=factor, start_index=start
    )
    assert len(placed) == partitions
    assert all(len(set(replicas)) == factor for replicas in placed)
    leaders = Counter(replicas[0] for replicas in placed)
    assert max(leaders.values()) - min(leaders.get(n, 0) for n in range(count)) <= 1


@given(st.integers(2, 3), st.integers(1, 3), st.integers(1, 20), st.integers(0, 10))
def test_copies_stand_in_different_racks(
    racks: int, per_rack: int, partitions: int, start: int
) -> None:
    all_brokers = brokers(racks * per_rack, racks)
    rack_of = {broker.broker_id: broker.rack for broker in all_brokers}
    placed = place_partitions(
        all_brokers, partition_count=partitions, replication_factor=racks, start_index=start
    )
    assert all(len({rack_of[n] for n in replicas}) == racks for replicas in placed)


def test_who_is_down_stands_last_where_the_others_are_too_few() -> None:
    up, down = brokers(5)[:2], brokers(5)[2:]
    placed = place_partitions(up, missing=down, partition_count=6, replication_factor=4)
    assert [set(replicas[:2]) for replicas in placed] == [{0, 1}] * 6
    assert [replicas[2:] for replicas in placed] == [(2, 3), (3, 4), (4, 2)] * 2
    placed = place_partitions(up, missing=down, partition_count=2, replication_factor=2)
    assert placed == ((0, 1), (1, 0))
    with pytest.raises(InvalidReplicationFactorError, match="1 to 5 copies"):
        place_partitions(up, missing=down, partition_count=1, replication_factor=6)


def test_copies_that_are_added_go_round_the_other_racks() -> None:
    grown = grown_assignments(((0,), (0,), (1, 2, 3)), brokers(4, racks=2), 2)
    assert grown == ((0, (0, 1)), (1, (0, 3)))
    assert grown_assignments(((0,), (0,)), brokers(3), 3) == ((0, (0, 1, 2)), (1, (0, 2, 1)))
    assert grown_assignments(((0,),), brokers(1), 3) == ()


def test_witnesses_fill_up_to_three_voters_where_there_are_brokers() -> None:
    assert choose_voters((0,), range(5)) == (0,)
    assert choose_voters((0, 1), (0, 1)) == (0, 1)
    assert choose_voters((0, 1, 2), range(9)) == (0, 1, 2)
    voters = choose_voters((3, 1), range(5))
    assert voters[:2] == (3, 1)
    assert len(set(voters)) == 3
