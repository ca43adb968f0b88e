"""Calls to the loop thread: one post a batch, in order, a slice at a time."""

from collections.abc import Callable

from headrace.raft.loop_mail import CALLS_PER_SLICE, LoopMail


def test_calls_arrive_in_order_with_one_post_a_slice() -> None:
    posted: list[Callable[[], object]] = []
    mail = LoopMail(posted.append)
    seen: list[int] = []
    for number in range(2 * CALLS_PER_SLICE + 5):
        mail.add(lambda number=number: seen.append(number))
    mail.deliver()
    mail.deliver()
    slices = 0
    while posted:
        assert len(posted) == 1
        posted.pop()()
        slices += 1
        assert len(seen) <= slices * CALLS_PER_SLICE
    assert (seen, slices) == (list(range(2 * CALLS_PER_SLICE + 5)), 3)
    mail.add(lambda: seen.append(-1))
    mail.deliver()
    posted.pop()()
    assert seen[-1] == -1


def test_a_call_that_fails_does_not_take_the_others_with_it() -> None:
    posted: list[Callable[[], object]] = []
    mail = LoopMail(posted.append)
    seen: list[int] = []
    mail.add(lambda: 1 // 0)
    mail.add(lambda: seen.append(1))
    mail.deliver()
    posted.pop()()
    assert seen == [1]


def test_a_closed_loop_drops_what_nobody_waits_for() -> None:
    def post(call: Callable[[], object]) -> None:
        raise RuntimeError("closed")

    mail = LoopMail(post)
    mail.add(lambda: None)
    mail.deliver()


def test_the_end_of_a_slice_is_told_once_and_calls_know_that_it_is_to_come() -> None:
    posted: list[Callable[[], object]] = []
    seen: list[object] = []
    mail = LoopMail(posted.append, lambda: seen.append("end"))
    for _ in range(2):
        mail.add(lambda: seen.append(mail.is_in_slice))
    mail.deliver()
    posted.pop()()
    assert seen == [True, True, "end"]
    assert not mail.is_in_slice
