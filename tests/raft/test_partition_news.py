"""What brokers tell each other about partitions: of which life it holds."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from headrace.raft.packed_fields import pack_fields
from headrace.raft.partition_news import STOPPING, PartitionNews
from headrace.raft.runtime_contract import Runtime


def test_that_an_earlier_life_stopped_is_not_taken_for_the_next_one() -> None:
    taken: dict[str, Callable[[int, bytes], None]] = {}
    next_life = {1: SimpleNamespace(session=8)}
    runtime = SimpleNamespace(on_message=taken.__setitem__, live_brokers=lambda: next_life)
    news = PartitionNews(
        cast(Runtime, runtime), on_report=lambda _base_id: None, on_stopping=lambda _broker: None
    )
    last_life: Any = {1: SimpleNamespace(session=7)}
    news.peers_changed(last_life)
    taken[STOPPING](1, pack_fields(1, ()))  # said before the link to the next life came up
    assert news.stopping == {1: 7}
    news.peers_changed(next_life)
    assert news.stopping == {}
