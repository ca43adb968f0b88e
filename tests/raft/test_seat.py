"""What a broker reports of a log that is not in sync here."""

from types import SimpleNamespace
from typing import Any

from headrace.raft.partition_state import IsrMember, PartitionState
from headrace.raft.seat import Seat, reports_to

OWN = (1, 30)
LOG: Any = SimpleNamespace(latest_epoch=4, log_end_offset=90)


def seat_of(*isr: IsrMember, elr: tuple[IsrMember, ...] = (), log: Any = LOG) -> Seat:
    state = PartitionState(replicas=(0, 1, 2), voters=(0, 1, 2), isr=isr, elr=elr)
    group: Any = SimpleNamespace(state=state, is_alone=False, base_id="p", voters=(0, 1, 2))
    seat = Seat("clicks", 0, group)
    seat.partition = SimpleNamespace(log=log)  # type: ignore[assignment]
    return seat


def has_kept(seat: Seat, kept: int) -> bool:
    report = seat.report_log(OWN, {kept})
    assert report is not None
    assert report.reach == (4, 90)
    return report.has_kept_cache


def test_the_incarnation_that_was_in_sync_is_the_one_whose_cache_counts() -> None:
    # It was in sync as 10; its machine restarted; as 20 it died again, at once.
    assert not has_kept(seat_of((0, 7), (1, 10)), 20)
    assert has_kept(seat_of((0, 7), (1, 20)), 20)
    assert has_kept(seat_of((0, 7), elr=((1, 20),)), 20)


def test_who_was_not_in_sync_as_far_as_it_knows_claims_nothing() -> None:
    assert not has_kept(seat_of((0, 20)), 20)


def test_each_voter_hears_of_what_was_kept_and_of_what_was_not() -> None:
    seats = [seat_of((1, 10)), seat_of((1, 20)), seat_of((1, 20), log=None), seat_of(OWN)]
    reports = reports_to((0, 1, 5), seats, own=OWN, kept={20})
    assert reports == {(0, False): [("p", 30, 4, 90)], (0, True): [("p", 30, 4, 90)]}
