"""The checker must see every kind of broken promise: each is seeded here, one at a time."""

import pytest

from tests.support import history_checks as checks
from tests.support.history import Committed, History, Outcome, Partition, Seen, Send, value_of

CLICKS: Partition = ("clicks", 0)
COUNT = 6


def good_run() -> tuple[History, dict[Partition, dict[int, bytes]]]:
    """A producer, a reader and a group that were served as promised."""
    history = History(idempotent={"p"})
    final = {CLICKS: {offset: value_of("p", offset) for offset in range(COUNT)}}
    for number in range(COUNT):
        history.note_send(Send("p", number, CLICKS, Outcome.OK, number, number + 0.5, number))
    history.note_seen(Seen("r", CLICKS, offset, value) for offset, value in final[CLICKS].items())
    for offset in (2, 4, 4, 6):
        history.note_committed(Committed("g", CLICKS, offset))
    return history, final


def rules(history: History, final: dict[Partition, dict[int, bytes]]) -> set[str]:
    return {violation.rule for violation in checks.check_history(history, final)}


def test_a_run_that_kept_every_promise_passes() -> None:
    assert rules(*good_run()) == set()


def test_an_unknown_outcome_may_be_there_or_not() -> None:
    history, final = good_run()
    history.note_send(Send("p", COUNT, CLICKS, Outcome.UNKNOWN, 9, 10))
    assert rules(history, final) == set()
    final[CLICKS][COUNT] = value_of("p", COUNT)
    assert rules(history, final) == set()


@pytest.mark.parametrize("offset", range(COUNT))
def test_a_lost_record_is_seen(offset: int) -> None:
    history, final = good_run()
    del final[CLICKS][offset]
    history.seen.clear()
    assert rules(history, final) == {"I1"}


def test_a_record_at_another_offset_than_told_is_seen() -> None:
    history, final = good_run()
    history.seen.clear()
    moved = {offset + 1: value for offset, value in final[CLICKS].items()}
    assert rules(history, {CLICKS: moved}) == {"I1"}


def test_a_lost_partition_is_seen() -> None:
    history, _ = good_run()
    history.seen.clear()
    found = list(checks.check_history(history, {}))
    assert len(found) == COUNT


def test_a_record_that_comes_twice_is_seen_under_idempotence_only() -> None:
    history, final = good_run()
    final[CLICKS][COUNT] = value_of("p", COUNT - 1)
    assert rules(history, final) == {"I1"}
    history.idempotent.clear()
    assert rules(history, final) == set()


def test_a_swapped_pair_is_seen() -> None:
    history, final = good_run()
    final[CLICKS][2], final[CLICKS][3] = final[CLICKS][3], final[CLICKS][2]
    history.seen.clear()
    history.sends = [Send("p", n, CLICKS, Outcome.OK, n, n) for n in range(COUNT)]
    assert rules(history, final) == {"I2"}


def test_without_idempotence_neither_order_nor_single_copies_are_promised() -> None:
    history, final = good_run()
    history.idempotent.clear()
    final[CLICKS] |= {COUNT: value_of("p", 4), COUNT + 1: value_of("p", 5)}
    assert rules(history, final) == set()
    final[CLICKS][COUNT] = value_of("p", COUNT + 9)
    assert rules(history, final) == set()


def test_an_offset_with_two_records_is_seen() -> None:
    history, final = good_run()
    history.note_seen([Seen("early", CLICKS, 3, value_of("p", 99))])
    assert rules(history, final) == {"I3"}


def test_two_readers_that_differ_are_seen_where_the_end_is_not_known() -> None:
    history = History()
    history.note_seen([Seen("a", CLICKS, 3, b"p:1"), Seen("b", CLICKS, 3, b"p:2")])
    found = {violation.rule for violation in checks.offsets_hold_one_record(history, {})}
    assert found == {"I3"}


def test_a_record_beyond_the_high_watermark_is_seen() -> None:
    history, final = good_run()
    history.note_seen([Seen("r", CLICKS, COUNT, value_of("p", COUNT))])
    assert rules(history, final) == {"I4"}


def test_a_refused_record_that_is_given_out_is_seen() -> None:
    history, final = good_run()
    history.note_send(Send("p", COUNT, CLICKS, Outcome.FAILED, 9, 10))
    final[CLICKS][COUNT] = value_of("p", COUNT)
    history.note_seen([Seen("r", CLICKS, COUNT, value_of("p", COUNT))])
    assert rules(history, final) == {"I4"}


def test_a_committed_offset_that_goes_back_is_seen() -> None:
    history, final = good_run()
    history.note_committed(Committed("g", CLICKS, 5))
    assert rules(history, final) == {"I5"}
    history.committed[-1] = Committed("other", CLICKS, 5)
    assert rules(history, final) == set()


def test_replicas_that_differ_are_seen_with_the_byte() -> None:
    assert not list(checks.replicas_agree(CLICKS, {0: b"abc", 1: b"abc"}))
    (differ,) = checks.replicas_agree(CLICKS, {0: b"abc", 1: b"abd", 2: b"abc"})
    assert differ.rule == "I6"
    assert "byte 2" in differ.text
    (shorter,) = checks.replicas_agree(CLICKS, {0: b"abc", 1: b"ab"})
    assert "byte 2" in shorter.text


def test_a_pause_is_measured_from_the_fault_to_the_end() -> None:
    times = [0.0, 1.0, 1.1, 4.0]
    assert checks.longest_gap_s(times, 1.0, 4.0) == pytest.approx(2.9)
    assert checks.longest_gap_s(times, 2.0, 4.0) == pytest.approx(2.0)
    assert checks.longest_gap_s([], 2.0, 4.0) == pytest.approx(2.0)
    allowed = {"fault_s": 1.0, "until_s": 4.0, "what": "kill"}
    assert not list(checks.writes_went_on(times, **allowed, bound_s=3.0))  # type: ignore[arg-type]
    (late,) = checks.writes_went_on(times, **allowed, bound_s=2.0)  # type: ignore[arg-type]
    assert "2.90 s" in late.text


def test_a_long_list_of_violations_is_cut() -> None:
    text = checks.in_words([checks.Violation("I1", str(number)) for number in range(30)])
    assert text.splitlines()[0] == "30 violations"
    assert text.splitlines()[-1] == "... and 10 more"
