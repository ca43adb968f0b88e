"""Followers of a broker in the caller's own process: their fetch sessions, over no sockets."""

from dataclasses import replace
from typing import Any

from benchmarks.frames import FETCH
from benchmarks.in_process import InProcessBroker
from headrace.api.wire import codec, headers
from tests.support.deciders import SharedGroup

FOLLOWER_VERSION = 17
FOLLOWERS = {101: 71, 102: 72}  # broker id -> incarnation
MAX_WAIT_MS = 60_000


class Follower:
    """One follower's fetch session, over a connection without a socket."""

    def __init__(self, broker: InProcessBroker, broker_id: int) -> None:
        self._partition = broker.partition("clicks")
        self._identity = {"replica_id": broker_id, "replica_epoch": FOLLOWERS[broker_id]}
        self._connection = broker.connect()
        self._session_id = self._session_epoch = 0
        body = _body_of(self.fetch(0, max_wait_ms=0))
        self._session_id, self._session_epoch = body["session_id"], 1
        assert self._session_id

    def answers(self, offset: int) -> list[dict[str, Any]]:
        """What a fetch that is answered at once is told of each partition."""
        (topic,) = _body_of(self.fetch(offset))["responses"]
        told: list[dict[str, Any]] = topic["partitions"]
        return told

    def fetch(self, offset: int, max_wait_ms: int = MAX_WAIT_MS) -> list[Any]:
        """What is answered, into which also comes what is answered later."""
        partition = {
            "partition": 0,
            "current_leader_epoch": self._partition.leader_epoch,
            "fetch_offset": offset,
            "last_fetched_epoch": self._partition.leader_epoch if offset else -1,
            "log_start_offset": 0,
            "partition_max_bytes": 1 << 20,
        }
        body = {
            "replica_state": self._identity,
            "max_wait_ms": max_wait_ms,
            "min_bytes": 1,
            "max_bytes": 1 << 20,
            "session_id": self._session_id,
            "session_epoch": self._session_epoch,
            "topics": [{"topic_id": self._partition.topic_id, "partitions": [partition]}],
            "forgotten_topics_data": [],
        }
        frame = headers.encode_request_frame(FETCH, FOLLOWER_VERSION, 7, "follower", body)
        self._session_epoch += 1
        return self._connection.exchange(bytes(frame))


def _body_of(pieces: list[Any]) -> dict[str, Any]:
    answer = b"".join(pieces)[4:]
    _, position = headers.decode_response_header(FETCH, FOLLOWER_VERSION, answer)
    return codec.decode_response(FETCH, FOLLOWER_VERSION, answer, position)


def followed(broker: InProcessBroker) -> list[Follower]:
    """Two followers in sync of what the broker leads."""
    partition = broker.partition("clicks")
    state = partition.group.state
    group = SharedGroup(
        replace(
            state,
            replicas=(*state.replicas, *FOLLOWERS),
            isr=(*state.isr, *FOLLOWERS.items()),
        )
    )
    partition._group, partition._incarnation_of = group, FOLLOWERS.get
    group.replicas.append(partition)
    partition.state_changed()
    return [Follower(broker, broker_id) for broker_id in FOLLOWERS]
