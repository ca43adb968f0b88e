"""News of partitions that this broker does not know: kept for a topic to come, never for good."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.late_news import LOOK_MS, LateNews
from headrace.raft.offline_replicas import FULL, LOST, OFFLINE, OfflineReplicas
from headrace.raft.packed_fields import pack_fields
from headrace.raft.partition_group import partition_group_id
from headrace.raft.partition_news import REPORTS, STATES, PartitionNews
from headrace.raft.partition_state import PartitionState
from headrace.raft.runtime_contract import Runtime
from tests.support.manual_clock import ManualClock
from tests.support.manual_scheduler import ManualScheduler

TOPIC_ID = b"t" * 16
BASE_ID = partition_group_id(TOPIC_ID, 1)
STATE = PartitionState(replicas=(1, 2), leader=1)
PEERS: Any = {1: SimpleNamespace(session=7)}


class Stage:
    """A broker that hears of one partition in every way there is."""

    def __init__(self) -> None:
        self.topics: dict[bytes, Any] = {}
        self._taken: dict[str, Callable[[int, bytes], None]] = {}
        runtime = cast(
            Runtime,
            SimpleNamespace(on_message=self._taken.__setitem__, live_brokers=lambda: PEERS),
        )
        self.scheduler = ManualScheduler(ManualClock())
        self.news = PartitionNews(
            runtime, on_report=lambda _base_id: None, on_stopping=lambda _broker_id: None
        )
        self.offline = OfflineReplicas(2, lambda _base_ids: None)
        self.offline.connect(runtime)
        self.offline.peers_changed(PEERS, [])
        cluster = SimpleNamespace(state=SimpleNamespace(topic_by_id=self.topics.get))
        LateNews(self.news, self.offline, cast(ClusterGroup, cluster), self.scheduler.schedule)

    def know_topic(self, partition_count: int = 2) -> None:
        self.topics[TOPIC_ID] = SimpleNamespace(partition_count=partition_count)

    def delete_topic(self) -> None:
        """As `GroupSeats.close_seats`."""
        del self.topics[TOPIC_ID]
        self.news.forget([BASE_ID])
        self.offline.forget([BASE_ID])

    def hear_all(self, base_id: str = BASE_ID) -> None:
        said = {
            STATES: ([(base_id, STATE.to_bytes())],),
            REPORTS: (True, [(base_id, 10, 0, 5)]),
            **dict.fromkeys((OFFLINE, LOST, FULL), (False, [base_id], [])),
        }
        for channel, fields in said.items():
            self._taken[channel](1, pack_fields(1, fields))

    def kept(self, base_id: str = BASE_ID) -> list[bool]:
        return [
            self.news.told_state(base_id) is not None,
            bool(self.news.reports_of(base_id)),
            *(bool(each.brokers_of(base_id)) for each in self._offline),
        ]

    @property
    def _offline(self) -> list[Any]:
        return [self.offline, self.offline.lost, self.offline.full]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_what_comes_after_the_deletion_goes_too(stage: Stage) -> None:
    stage.know_topic()
    stage.hear_all()
    stage.delete_topic()
    assert not any(stage.kept())
    stage.hear_all()
    stage.scheduler.advance(LOOK_MS)
    assert all(stage.kept()), "it may be of a topic to come"
    stage.scheduler.advance(LOOK_MS)
    assert not any(stage.kept())
    assert stage.scheduler.pending == 0


def test_what_comes_before_its_topic_stays(stage: Stage) -> None:
    stage.know_topic(partition_count=1)
    stage.hear_all()
    stage.scheduler.advance(LOOK_MS)
    stage.know_topic(partition_count=2)
    stage.scheduler.advance(10 * LOOK_MS)
    assert all(stage.kept())
    assert stage.scheduler.pending == 0


def test_what_is_told_again_is_kept_for_as_long_again(stage: Stage) -> None:
    stage.hear_all()
    stage.scheduler.advance(LOOK_MS)
    stage.hear_all()
    stage.scheduler.advance(LOOK_MS)
    assert all(stage.kept())
    stage.scheduler.advance(LOOK_MS)
    assert not any(stage.kept())


def test_news_of_known_partitions_cost_no_timer(stage: Stage) -> None:
    stage.know_topic()
    stage.hear_all()
    assert stage.scheduler.pending == 0


def test_a_name_that_is_no_partitions_goes(stage: Stage) -> None:
    stage.hear_all("no partition")
    assert all(stage.kept("no partition"))
    stage.scheduler.advance(2 * LOOK_MS)
    assert not any(stage.kept("no partition"))
