"""What does a follower do for each answer of its leader?  Counts, not times."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import headrace
from benchmarks.followed_leader import FollowedLeader
from benchmarks.frames import batch_of
from benchmarks.in_process import InProcessBroker

ROUNDS = 5
WARM_UP = 3
CALLS_AN_ANSWER = 23


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[FollowedLeader]:
    with InProcessBroker(tmp_path, {"clicks": 1}) as broker:
        yield FollowedLeader(broker, "clicks", batch_of(1))


def test_calls_of_an_answer(leader: FollowedLeader) -> None:
    """Functions of ours that Python calls from an answer's bytes to those of the next request.

    As on a leader (`test_waits.py`): what moves a batch empties the processor's caches, so what
    counts is how much is run at all.
    """
    for _ in range(WARM_UP):
        leader.answer()
    ours = str(Path(headrace.__file__).parent)
    calls = 0

    def count(code_frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and code_frame.f_code.co_filename.startswith(ours)

    sys.setprofile(count)
    try:
        for _ in range(ROUNDS):
            leader.answer()
    finally:
        sys.setprofile(None)
    assert calls / ROUNDS <= CALLS_AN_ANSWER
