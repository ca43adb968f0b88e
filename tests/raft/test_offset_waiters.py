"""Waiting without polling: released once, in order, never after a cancel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.raft.offset_waiters import FetchWaiters, OffsetWaiters


def test_waiters_are_released_in_the_order_of_their_offsets_then_of_their_coming() -> None:
    waiters, called = OffsetWaiters(), []
    for name, offset in (("c", 7), ("a", 3), ("d", 7), ("b", 5)):
        waiters.add_waiter(offset, lambda error, name=name: called.append((name, error)))
    waiters.release_up_to(2)
    assert called == []
    waiters.release_up_to(5)
    assert called == [("a", None), ("b", None)]
    waiters.release_up_to(7)
    assert [name for name, _ in called] == ["a", "b", "c", "d"]
    assert len(waiters) == 0


def test_a_cancelled_waiter_is_never_called() -> None:
    waiters, called = OffsetWaiters(), []
    waiter = waiters.add_waiter(3, called.append)
    waiters.add_waiter(4, called.append)
    waiter.cancel()
    waiter.cancel()
    assert len(waiters) == 1
    waiters.release_up_to(10)
    assert called == [None]


@pytest.mark.parametrize("fails", [False, True])
def test_a_waiter_that_cancels_others_when_it_is_called_leaves_nothing_behind(fails: bool) -> None:
    waiters, called = OffsetWaiters(), []

    def cancel_others(_error: object) -> None:
        for each in others[:3]:
            each.cancel()

    waiters.add_waiter(1, cancel_others)
    others = [waiters.add_waiter(2, lambda _, n=n: called.append(n)) for n in range(5)]
    if fails:
        waiters.fail_all(RuntimeError("gone"))
    else:
        waiters.release_up_to(2)
    assert called == [3, 4]
    assert (len(waiters), waiters.heap) == (0, [])


def test_failing_releases_everyone_with_the_error() -> None:
    waiters, called = OffsetWaiters(), []
    waiters.add_waiter(3, called.append)
    waiters.add_waiter(9, called.append)
    error = RuntimeError("gone")
    waiters.fail_all(error)
    assert called == [error, error]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 20)),
            st.tuples(st.just("cancel"), st.integers(0, 30)),
            st.tuples(st.just("release"), st.integers(0, 20)),
        ),
        max_size=40,
    )
)
def test_any_history_equals_a_plain_list(history: list[tuple[str, int]]) -> None:
    waiters, called, model, made = OffsetWaiters(), [], [], []
    for action, value in history:
        if action == "add":
            number = len(made)
            made.append(waiters.add_waiter(value, lambda _, n=number: called.append(n)))
            model.append((value, number))
        elif action == "cancel" and value < len(made):
            made[value].cancel()
            model = [entry for entry in model if entry[1] != value]
        elif action == "release":
            called.clear()
            waiters.release_up_to(value)
            assert called == [number for offset, number in sorted(model) if offset <= value]
            model = [entry for entry in model if entry[0] > value]
        assert len(waiters) == len(model)


def test_all_fetches_are_woken_once_in_the_order_they_came() -> None:
    waiters, called = FetchWaiters(), []
    for name in "abc":
        waiters.add_waiter(lambda name=name: called.append(name))
    waiters.wake_all()
    waiters.wake_all()
    assert called == ["a", "b", "c"]


def test_a_fetch_cancelled_by_the_one_before_it_is_left_out() -> None:
    waiters, called = FetchWaiters(), []
    cancel_later = []
    waiters.add_waiter(lambda: [waiter.cancel() for waiter in cancel_later])
    cancel_later.append(waiters.add_waiter(lambda: called.append("second")))
    waiters.add_waiter(lambda: called.append("third"))
    waiters.wake_all()
    assert called == ["third"]


def test_a_fetch_that_waits_again_while_it_is_woken_waits_for_the_next_time() -> None:
    waiters, called = FetchWaiters(), []

    def wait_again() -> None:
        called.append("woken")
        waiters.add_waiter(wait_again)

    waiters.add_waiter(wait_again)
    waiters.wake_all()
    assert called == ["woken"]
    waiters.wake_all()
    assert called == ["woken", "woken"]
