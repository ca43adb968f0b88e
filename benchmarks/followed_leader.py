"""A follower's side of replication on the caller's own thread: a leader's answers go in as bytes,
and the next request comes out.  No socket, no loop that turns."""

from dataclasses import replace
from struct import pack_into
from typing import Any, cast

from headrace.api.server.peer_client import PeerClients, _Peer, _PeerProtocol
from headrace.api.wire import codec
from headrace.raft.replica_fetcher import ReplicaFetchers
from headrace.raft.replication_quota import ReplicationQuota
from tests.support.deciders import SharedGroup
from tests.support.manual_clock import ManualClock
from tests.support.manual_scheduler import ManualScheduler

from .frames import FETCH
from .in_process import InProcessBroker, WrittenBytes

FETCH_VERSION = 17
LEADER, LEADER_INCARNATION = 101, 71
SESSION_ID = 77
CORRELATION_ID_POSITION = 4
EPOCH_POSITION = 12  # of a batch


class FollowedLeader:
    """Another broker leads partition 0 of `topic` from now on, and each answer brings `batch`."""

    def __init__(self, broker: InProcessBroker, topic: str, batch: bytes) -> None:
        self._partition = partition = broker.partition(topic)
        state, own_id = partition.group.state, partition.broker_id
        partition._group = SharedGroup(
            replace(
                state,
                leader=LEADER,
                leader_epoch=state.leader_epoch + 1,
                replicas=(LEADER, own_id),
                isr=((LEADER, LEADER_INCARNATION), *state.isr),
            )
        )
        partition.on_role_changed = None
        partition.state_changed()
        assert partition.is_follower, partition
        self._transport = WrittenBytes()
        self._peer, peers = broker.run(self._meet_leader())
        self._protocol = _PeerProtocol(self._peer)
        clock = ManualClock()
        scheduler = ManualScheduler(clock)
        ReplicaFetchers(
            broker_id=own_id,
            incarnation=1,
            send_fetch=peers.send_fetch,
            schedule=scheduler.schedule,
            quota=ReplicationQuota(broker_id=own_id, is_leaders=False, clock=clock),
        ).role_changed(partition)
        scheduler.advance(0)
        self._frame = bytearray(self._encode_answer(batch))
        self._batch_position = len(self._frame) - len(batch) - self._frame[::-1].index(batch[::-1])

    async def _meet_leader(self) -> tuple[_Peer, PeerClients]:
        peers = PeerClients(address_of=lambda _: None, client_id="follower")
        peer = peers._peers[LEADER] = _Peer(LEADER, lambda _: None, "follower")
        peer._transport = cast(Any, self._transport)
        return peer, peers

    def _encode_answer(self, batch: bytes) -> bytes:
        told = {
            "partition_index": 0,
            "error_code": 0,
            "high_watermark": 0,
            "log_start_offset": 0,
            "records": batch,
            "aborted_transactions": None,
        }
        topic = {"topic_id": self._partition.topic_id, "partitions": [told]}
        body = {"error_code": 0, "session_id": SESSION_ID, "responses": [topic]}
        return b"".join(codec.encode_response_frame(FETCH, FETCH_VERSION, 0, body))

    def answer(self) -> None:
        """The next batch comes: it is stored, and the one behind it is asked for."""
        frame, partition = self._frame, self._partition
        pack_into(">i", frame, CORRELATION_ID_POSITION, self._peer._last_id)
        pack_into(">q", frame, self._batch_position, partition.log_end_offset)
        pack_into(">i", frame, self._batch_position + EPOCH_POSITION, partition.leader_epoch)
        self._transport.pieces.clear()
        self._protocol.get_buffer(-1)[: len(frame)] = frame
        self._protocol.buffer_updated(len(frame))
        assert self._transport.pieces, "nothing is asked for"
