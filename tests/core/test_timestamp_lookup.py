"""Offsets by time, against a walk over all records."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.core.log_config import LogConfig
from headrace.core.timestamp_lookup import TimestampOffset
from tests.support.log_stage import NOW_MS, SMALL_SEGMENTS, LogStage, make_batch


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=4), max_size=60),
    start=st.integers(0, 100),
    is_clean=st.booleans(),
)
def test_first_record_that_is_new_enough_is_found(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[int]],
    start: int,
    is_clean: bool,
) -> None:
    config = LogConfig(segment_bytes=1000, index_interval_bytes=100)
    stage = LogStage(tmp_path_factory.mktemp("log"), config=config)
    log = stage.open(is_clean=True)
    model: list[TimestampOffset] = []
    for epoch, steps in enumerate(batches):
        for step in steps:
            model.append(TimestampOffset(NOW_MS + step, len(model), epoch))
            log.append_as_leader(make_batch([b""], timestamp=NOW_MS + step), leader_epoch=epoch)
    log.increment_log_start_offset(min(start, log.log_end_offset))
    log.close(clean=is_clean)
    log = stage.open(is_clean=is_clean, log_start_offset=min(start, len(model)))
    visible = model[log.log_start_offset :]
    for target in range(-1, 302, 7):
        expected = next((each for each in visible if each.timestamp >= NOW_MS + target), None)
        assert log.find_offset_by_timestamp(NOW_MS + target) == expected
    newest = max((each.timestamp for each in visible), default=None)
    found = log.find_max_timestamp()
    if newest is not None:
        # What lies below the start in the same segment may hide the newest one that is visible.
        assert found is None or found in visible
        below = max((each.timestamp for each in model[: log.log_start_offset]), default=-1)
        if newest >= below:
            assert found == next(each for each in visible if each.timestamp == newest)
    log.close()


def test_record_inside_a_batch_is_found(tmp_path: Path) -> None:
    stage = LogStage(tmp_path, config=SMALL_SEGMENTS)
    log = stage.open(is_clean=True)
    log.append_as_leader(make_batch([b"a", b"b", b"c"], timestamp=NOW_MS), leader_epoch=7)
    assert log.find_offset_by_timestamp(NOW_MS + 1) == TimestampOffset(NOW_MS + 1, 1, 7)
    assert log.find_max_timestamp() == TimestampOffset(NOW_MS + 2, 2, 7)
    assert log.find_offset_by_timestamp(NOW_MS + 3) is None
    log.close()


@settings(max_examples=60, deadline=None)
@given(
    orders=st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(0, 300)),
            st.tuples(st.just("truncate"), st.integers(0, 60)),
            st.tuples(st.just("drop"), st.integers(0, 3)),
            st.tuples(st.just("ask"), st.integers(-1, 302)),
        ),
        max_size=60,
    )
)
@example([("append", 1)] * 8 + [("ask", 9), ("truncate", 2)] + [("append", 9)] * 8 + [("ask", 5)])
@example([("append", 9)] * 8 + [("ask", 9), ("drop", 2)] + [("append", 1)] * 4 + [("ask", 2)])
def test_look_ups_stay_right_while_segments_come_and_go(
    tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[str, int]]
) -> None:
    config = LogConfig(segment_bytes=200, index_interval_bytes=100)
    log = LogStage(tmp_path_factory.mktemp("log"), config=config).open(is_clean=True)
    model: list[int] = []
    for order, number in orders:
        if order == "append":
            model.append(NOW_MS + number)
            log.append_as_leader(make_batch([b""], timestamp=NOW_MS + number), leader_epoch=0)
        elif order == "truncate":
            offset = max(number, log.log_start_offset)
            log.truncate_to(offset)
            del model[offset:]
        elif order == "drop":
            log.delete_oldest_segments(min(number, len(log.segments) - 1))
        else:
            visible = range(log.log_start_offset, log.log_end_offset)
            expected = next((each for each in visible if model[each] >= NOW_MS + number), None)
            found = log.find_offset_by_timestamp(NOW_MS + number)
            assert (found and found.offset) == expected
            newest = max((model[each] for each in visible), default=None)
            told = log.find_max_timestamp()
            assert (told and told.timestamp) == newest
    log.close()
