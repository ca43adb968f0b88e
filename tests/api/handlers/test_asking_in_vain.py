"""Who asks a broker that is cut off for leaders that it cannot know is let go after a while."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.api.handlers.asking_in_vain import PATIENCE_MS, let_go_in_vain
from headrace.api.handlers.context import CloseConnectionError, RequestContext
from tests.support.manual_clock import ManualClock

LED, LEADERLESS = {"partitions": [{"leader_id": 2}]}, {"partitions": [{"leader_id": -1}]}
UNKNOWN: dict[str, Any] = {"partitions": []}


class Stage:
    """A connection to a broker that is cut off from its cluster."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.node = SimpleNamespace(clock=self.clock, is_cut_off=True)
        self.context = RequestContext(api_key=3, api_version=12)

    def ask(self, *topics: dict[str, Any], after_ms: int = 0) -> None:
        self.clock.advance(after_ms)
        let_go_in_vain(cast(Any, self.node), self.context, list(topics))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_who_asks_in_vain_for_a_while_is_let_go(stage: Stage) -> None:
    stage.ask(LEADERLESS)
    stage.ask(LEADERLESS, after_ms=PATIENCE_MS - 1)
    with pytest.raises(CloseConnectionError, match="cut off"):
        stage.ask(LEADERLESS, LEADERLESS, after_ms=1)


@pytest.mark.parametrize("topics", [[LED], [LEADERLESS, LED], [UNKNOWN], []])
def test_who_asks_for_something_that_is_known_stays(
    stage: Stage, topics: list[dict[str, Any]]
) -> None:
    stage.ask(LEADERLESS)
    stage.ask(*topics, after_ms=PATIENCE_MS)
    stage.ask(LEADERLESS, after_ms=PATIENCE_MS)
    with pytest.raises(CloseConnectionError):
        stage.ask(LEADERLESS, after_ms=PATIENCE_MS)


def test_a_broker_with_a_majority_lets_nobody_go(stage: Stage) -> None:
    stage.node.is_cut_off = False
    for _ in range(3):
        stage.ask(LEADERLESS, after_ms=PATIENCE_MS)
