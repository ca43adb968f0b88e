"""The pauses of a replica that catches up."""

from headrace.raft.catch_up_pace import MEMORY_ANSWERS, PAUSE_MS, CatchUpPace


def test_there_are_pauses_for_a_while_after_news() -> None:
    pace = CatchUpPace()
    assert pace.pause_ms() == 0
    pace.answers_left = MEMORY_ANSWERS
    assert [pace.pause_ms() for _ in range(MEMORY_ANSWERS)] == [PAUSE_MS] * MEMORY_ANSWERS
    assert pace.pause_ms() == 0
    pace.answers_left = MEMORY_ANSWERS
    assert pace.pause_ms() == PAUSE_MS
