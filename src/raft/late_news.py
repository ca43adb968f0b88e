"""News of partitions whose topics this broker does not know: of topics to come, or of deleted ones.

Whoever tells them may be ahead of this broker in what the cluster decided, or behind it.  The first
kind is needed as soon as the topic is here; the second would stay for ever, as a topic is deleted
once.  Only time tells them apart: what nobody repeats is dropped with the second look after it.
Loop thread only.
"""

from .cluster_group import ClusterGroup
from .offline_replicas import OfflineReplicas
from .partition_group import parse_partition_group_id
from .partition_news import PartitionNews
from .runtime_contract import Schedule

LOOK_MS = 60_000
"""Far longer than a broker that serves lags behind what the cluster decided."""


class LateNews:
    """See the module; made once, it hears of every piece of news that is kept."""

    def __init__(
        self,
        news: PartitionNews,
        offline: OfflineReplicas,
        cluster_group: ClusterGroup,
        schedule: Schedule,
    ) -> None:
        self._news = news
        self._offline = offline
        self._cluster_group = cluster_group
        self._schedule = schedule
        self._new: set[str] = set()
        self._old: set[str] = set()  # those that the last look found
        for told in (news, offline, offline.lost, offline.full):
            told.on_kept = self._note

    def _note(self, base_id: str) -> None:
        if self._is_known(base_id):
            return
        if not self._new and not self._old:
            self._schedule(LOOK_MS, self._look)
        self._old.discard(base_id)
        self._new.add(base_id)

    def _look(self) -> None:
        gone = [base_id for base_id in self._old if not self._is_known(base_id)]
        self._news.forget(gone)
        self._offline.forget(gone)
        self._old, self._new = self._new, set()
        if self._old:
            self._schedule(LOOK_MS, self._look)

    def _is_known(self, base_id: str) -> bool:
        key = parse_partition_group_id(base_id)
        topic = None if key is None else self._cluster_group.state.topic_by_id(key[0])
        return key is not None and topic is not None and key[1] < topic.partition_count
