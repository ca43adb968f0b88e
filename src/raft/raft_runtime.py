"""One thread for all Raft groups and broker links of this broker.

    receive all -> deliver -> tick what is dirty -> send new entries -> one fdatasync -> outcomes
    -> send everything else

Public methods are for any thread.  Callbacks come on the loop thread, in order, through `post`.
The write-ahead log's lock is held from delivering to the sync, so that a decision which the loop
thread takes alone, and the checkpoint it may bring, sees every group between two turns.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..core.address_text import address_text
from ..core.clock import Clock
from ..core.errors import HeadraceError
from .broker_life import NO_LIVES, KnownLife
from .errors import UnknownOutcomeError
from .group_contract import GroupMachine
from .group_description import GroupDescription, RuntimeStatistics, describe_group
from .group_host import GroupHost, OnApplied, OnRole, Outboxes
from .leader_lease import LeaderLease
from .link_hello import LinkHello, LinkResult
from .link_messages import LinkMessage
from .link_pulse import LinkPulse
from .link_table import Address, LinkTable
from .liveness import Peer, RaftTiming
from .loop_mail import LoopMail
from .message_codec import decode_frame, encode_frames
from .proposal_router import ProposalRouter
from .raft_wal import RaftWal
from .seed_sender import PendingSeed, SeedSender
from .sleep_check import SleepCheck

if TYPE_CHECKING:
    from .raft_group import RaftGroup

SESSION_BYTES = 7
MESSAGES_BETWEEN_LOOKS = 64

Call = Callable[[], object]
Peers = Mapping[int, Peer]

logger = logging.getLogger(__name__)


class RaftRuntime:
    """See the module."""

    def __init__(
        self,
        *,
        broker_id: int,
        incarnation: int,
        wal: RaftWal,
        clock: Clock,
        post: Callable[[Call], object],
        timing: RaftTiming | None = None,
        on_fatal: Callable[[str], None],
        session: int | None = None,
    ) -> None:
        self.broker_id = broker_id
        self.incarnation = incarnation
        drawn = int.from_bytes(clock.random_bytes(SESSION_BYTES), "big")
        self.session = drawn if session is None else session
        self.cluster_id = ""
        self.on_seed: Callable[[str, int, tuple[int, ...], bytes], None] | None = None
        self.on_peers_changed: list[Callable[[Peers], None]] = []
        self.on_fatal = on_fatal
        self.on_overslept: Call = lambda: None
        self._timing = timing or RaftTiming()
        self.lease = LeaderLease(self._timing.dead_after_s)
        self._wal = wal
        self._clock = clock
        self._mail = LoopMail(post, self._wake_if_called)
        self._self = Peer(broker_id, incarnation, self.session, "", 0)
        self._peers: Peers = MappingProxyType({broker_id: self._self})
        self._channels: dict[str, Callable[[int, bytes], None]] = {}
        self._calls: deque[Call] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_signalled = False
        self._is_stopping = False
        self._thread: threading.Thread | None = None
        self._now_s = clock.monotonic_ms() / 1000
        self._turns = 0
        self._turn_ends_s = 0.0
        self._next_tick_s = 0.0
        self._next_alive_s = 0.0
        self._links, self._host = self._make_host(wal)
        self._sleep_check = SleepCheck(broker_id, self._host)
        self._pulse = LinkPulse(
            self._beat,
            interval_s=self._timing.ping_interval_s,
            patience_s=self._timing.sync_patience_s,
        )
        self._router, self._seeds = self._make_senders(wal)
        self._handlers = self._message_handlers()

    def _make_host(self, wal: RaftWal) -> tuple[LinkTable, GroupHost]:
        links = LinkTable(
            own_hello=self._own_hello,
            events=self,
            timing=self._timing,
            now_s=self._now_s,
            lease=self.lease,
        )
        links.watch(self._wake_fd, self._take_wake)
        host = GroupHost(
            broker_id=self.broker_id,
            wal=wal,
            clock=self._clock,
            network=links,
            post=self._mail.add,
        )
        return links, host

    def _make_senders(self, wal: RaftWal) -> tuple[ProposalRouter, SeedSender]:
        router = ProposalRouter(
            broker_id=self.broker_id,
            find_group=self._find_group,
            send=self._host.send_message,
            live_ids=self.live_brokers,
            retry_s=self._timing.proposal_retry_s,
            first_request_id=self.session,
        )
        seeds = SeedSender(
            broker_id=self.broker_id,
            wal=wal,
            journal=self._host.journal,
            send=self._host.send_message,
            deliver=self._deliver_seed,
            retry_s=self._timing.seed_retry_s,
        )
        return router, seeds

    # -- the thread

    def start(self) -> None:
        """Start the thread, if it does not run yet."""
        if self._thread is None and not self._is_stopping:
            self._pulse.start()
            self._thread = threading.Thread(target=self._run, name="headrace-raft", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; what is under way gets UnknownOutcomeError."""
        self._is_stopping = True
        if self._thread is not None:
            self._wake()
            self._thread.join()
            self._thread = None
            self._pulse.close()
        if self._wake_fd >= 0:
            self._settle_calls()
            self._links.close()
            os.close(self._wake_fd)
            self._wake_fd = -1

    # -- who is who

    def introduce(self, *, host: str, port: int, rack: str | None, wal_id: int) -> None:
        """Say where others reach this broker; before links open."""
        own = self._self
        self._self = Peer(own.broker_id, own.incarnation, own.session, host, port, rack, wal_id)
        self._replace_peers({**self._peers, own.broker_id: self._self})

    def set_addresses(
        self, addresses: Mapping[int, Address], lives: Mapping[int, KnownLife] = NO_LIVES
    ) -> None:
        """Keep a link to each of these brokers, in no life before these."""
        self._call(partial(self._links.set_addresses, dict(addresses), dict(lives)))

    def dial(self, host: str, port: int, on_done: Callable[[LinkResult], None]) -> None:
        """Ask who answers at an address; it leaves no link."""
        self._call(partial(self._links.dial, host, port, lambda r: self._tell(partial(on_done, r))))

    def adopt_link(self, fd: int, hello: LinkHello) -> None:
        """Take over a connection that opened with `hello`; this thread owns `fd` and answers."""
        self._call(partial(self._links.adopt, fd, hello))

    def live_brokers(self) -> Peers:
        """This broker and those whose links are up."""
        return self._peers

    def failing_brokers(self) -> frozenset[int]:
        """Those who are up, and are torn off or silent: about to count as down, perhaps."""
        return self._links.failing_brokers(self._clock.monotonic_ms() / 1000)

    # -- groups

    def open_group(
        self,
        group_id: str,
        *,
        voters: tuple[int, ...],
        machine_factory: Callable[[], GroupMachine],
        first_state: bytes | None,
        campaign: bool,
        on_applied: OnApplied,
        on_role: OnRole | None = None,
    ) -> None:
        """Take part in a group.

        It begins with what the write-ahead log holds, else with `first_state` as entry 1.
        `on_applied` gets lists of (entry_index, payload, result, state): first the state the group
        was opened with, payload None; a snapshot that is installed later comes in the same way.
        """

        def open_here() -> None:
            self._host.open_group(
                group_id,
                voters=voters,
                machine=machine_factory(),
                first_state=first_state,
                campaign=campaign,
                on_applied=on_applied,
                on_role=on_role,
            )

        self._call(open_here)

    def close_group(self, group_id: str, *, forget: bool) -> None:
        """Take no part any more; what was under way there has an unknown outcome."""
        self._call(partial(self._host.close_group, group_id, forget=forget))

    def propose(
        self,
        group_id: str,
        payload: bytes,
        on_done: Callable[[object], None],
        *,
        timeout_ms: int = 5_000,
    ) -> None:
        """`on_done` gets (entry_index, result) once it is decided and durable, or an error."""
        if self._is_stopping:
            self._tell(partial(on_done, UnknownOutcomeError("the broker stops")))
            return
        deadline_s = self._clock.monotonic_ms() / 1000 + timeout_ms / 1000

        def tell(outcome: object) -> None:
            self._mail.add(partial(on_done, outcome))

        self._call(lambda: self._router.propose(group_id, payload, tell, deadline_s, self._now_s))

    def transfer_group(self, group_id: str, to_id: int) -> None:
        """Ask the group's Raft leader, if it is here, to hand over to `to_id`."""

        def transfer() -> None:
            opened = self._host.groups.get(group_id)
            if opened is not None:
                opened.group.transfer_to(to_id)

        self._call(transfer)

    def describe_groups(self, on_done: Callable[[list[GroupDescription]], None]) -> None:
        """Tell about every group that this broker votes in."""

        def describe() -> None:
            found = [describe_group(opened.group) for opened in self._host.groups.values()]
            self._mail.add(partial(on_done, found))

        self._call(describe)

    def read_statistics(self, on_done: Callable[[RuntimeStatistics], None]) -> None:
        """What the thread has done so far."""

        def read() -> None:
            found = RuntimeStatistics(
                turns=self._turns,
                ticks=self._host.ticks,
                syncs=self._host.syncs,
                frames_sent=self._links.frames_sent,
                frames_received=self._links.frames_received,
                groups=len(self._host.groups),
                pending_seeds=self._seeds.pending_count,
            )
            self._mail.add(partial(on_done, found))

        self._call(read)

    # -- seeds

    def send_seed(
        self,
        base_id: str,
        generation: int,
        voters: tuple[int, ...],
        old_voters: tuple[int, ...],
        seed: bytes,
    ) -> None:
        """Bring `seed` to all voters, old and new, until each acknowledged it; kept on disk."""
        pending = PendingSeed(base_id, generation, voters, old_voters, seed)
        self._call(lambda: self._seeds.add_seed(pending, self._now_s))

    def ack_seed(self, base_id: str, generation: int) -> None:
        """This generation, or a later one, is durable here: its seed need not come again."""

        def acknowledge() -> None:
            # Behind this turn's sync, which holds what the caller has just opened.
            self._host.after_sync(partial(self._seeds.acknowledge, base_id, generation))

        self._call(acknowledge)

    def drop_seeds(self, base_ids: Iterable[str]) -> None:
        """These groups are no more: bring their seeds to nobody."""
        self._call(partial(self._seeds.drop_seeds, frozenset(base_ids)))

    # -- messages between loop threads

    def send(self, broker_id: int, channel: str, body: bytes) -> bool:
        """Send `body` to a broker's `on_message`; False if it is not up.  Lost with the link."""
        if broker_id == self.broker_id:
            self._tell(partial(self._receive_loop_message, broker_id, channel, body))
            return True
        if broker_id not in self._peers:
            return False
        message = (channel, LinkMessage.LOOP_MESSAGE, body)
        self._call(partial(self._host.send_message, broker_id, message))
        return True

    def on_message(self, channel: str, callback: Callable[[int, bytes], None]) -> None:
        """Have `callback(broker_id, body)` called for what arrives on `channel`."""
        self._channels[channel] = callback

    # -- the loop

    def _run(self) -> None:
        try:
            # PySyncObj takes its time to load: before links are up, not while others wait for a
            # ping.
            from . import raft_group  # noqa: F401

            while not self._is_stopping:
                self._turn()
        except HeadraceError as error:
            self._end(str(error))
        except Exception as error:
            logger.exception("the Raft thread failed")
            self._end(f"the Raft thread failed: {error!r}")
        finally:
            self._settle_calls()

    def _settle_calls(self) -> None:
        """Take in what was handed over last, and end every proposal."""
        while self._calls:
            self._calls.popleft()()
        self._router.close()
        self._mail.deliver()

    def _end(self, reason: str) -> None:
        self._is_stopping = True
        self._mail.add(partial(self.on_fatal, reason))

    def _turn(self) -> None:
        idle_s = self._idle_s()
        ready = self._links.wait(idle_s)
        self._turns += 1
        with self._pulse.held(self._wal.lock):
            last_s, self._now_s = self._now_s, self._clock.monotonic_ms() / 1000
            now_s = self._now_s
            if now_s - last_s - idle_s > self._timing.dead_after_s / 2:
                self._links.excuse(now_s - last_s - idle_s)
                self._mail.add(self.on_overslept)
            self._turn_ends_s = now_s + self._timing.turn_s
            self._links.serve(ready, now_s)
            self._run_calls()
            if now_s >= self._next_alive_s - self._timing.ping_slack_s:
                self._next_alive_s = self._links.keep_alive(now_s)
            self._router.check(now_s)
            self._seeds.send_due(now_s)
            if self._host.is_awake and now_s >= self._next_tick_s:
                self._next_tick_s = now_s + self._timing.tick_interval_s
                self._host.tick_awake()
            self._host.tick_dirty(now_s, self._has_time)
            self._send(self._host.take_early())
            sync_begins_s = self._clock.monotonic_ms() / 1000
            is_synced = self._sync()
            sync_ends_s = self._clock.monotonic_ms() / 1000
            if is_synced:
                self._host.let_out()
        if is_synced:
            self._send(self._host.take_outboxes())
        self._mail.deliver()
        self._note_slow_turn(now_s, sync_ends_s - sync_begins_s)

    def _sync(self) -> bool:
        if not self._host.has_unsynced:
            return True
        with self._pulse:
            return self._host.sync()

    def _beat(self) -> None:
        """On the thread of `LinkPulse`, while this one waits and touches no link."""
        self._links.beat(self._clock.monotonic_ms() / 1000)

    def _note_slow_turn(self, began_s: float, synced_s: float) -> None:
        """Say what kept this broker from being heard: its disk, or too much to do."""
        took_s = self._clock.monotonic_ms() / 1000 - began_s
        if took_s > self._timing.dead_after_s / 2:
            logger.warning(
                "a turn of the Raft thread took %.2f s, %.2f s of them to sync", took_s, synced_s
            )

    def _run_calls(self) -> None:
        """Do what other threads asked for, as far as this turn has time."""
        while self._calls:
            self._calls.popleft()()
            if not self._has_time():
                return

    def _has_time(self) -> bool:
        """Whether this turn may go on; in a long one, the others hear that this broker lives."""
        now_s = self._clock.monotonic_ms() / 1000
        if now_s >= self._next_alive_s:
            self._next_alive_s = self._links.send_pings(now_s)
        return now_s < self._turn_ends_s

    def _idle_s(self) -> float:
        if self._host.is_held:
            return self._timing.tick_interval_s
        if self._calls or self._host.has_work:
            return 0.0
        until_s = min(self._next_alive_s, self._router.next_check_s, self._seeds.next_send_s)
        if self._host.is_awake:
            until_s = min(until_s, self._next_tick_s)
        return min(max(until_s - self._clock.monotonic_ms() / 1000, 0.0), 60.0)

    def _send(self, outboxes: Outboxes) -> None:
        for broker_id, messages in outboxes:
            for frame in encode_frames(messages):
                self._links.send(broker_id, frame)

    def _call(self, call: Call) -> None:
        """Run `call` on the Raft thread in its next turn; a slice of calls wakes it once."""
        self._calls.append(call)
        if not self._mail.is_in_slice:
            self._wake()

    def _wake_if_called(self) -> None:
        """A slice of calls on the loop thread is over; see `_call`."""
        if self._calls:
            self._wake()

    def _wake(self) -> None:
        if not self._is_signalled and self._wake_fd >= 0:
            self._is_signalled = True
            os.eventfd_write(self._wake_fd, 1)

    def _take_wake(self) -> None:
        os.eventfd_read(self._wake_fd)
        self._is_signalled = False

    def _tell(self, call: Call) -> None:
        """Run `call` on the loop thread.  Any thread."""
        self._mail.add(call)
        self._mail.deliver()

    # -- LinkEvents

    def link_up(self, peer: Peer, is_new_session: bool) -> None:
        logger.info("broker %d is up at %s", peer.broker_id, address_text(peer.host, peer.port))
        self._sleep_check.link_up(peer.broker_id)
        self._replace_peers({**self._peers, peer.broker_id: peer})
        self._host.peer_up(peer.broker_id, is_new_session)
        self._seeds.peer_up(peer.broker_id)

    def link_down(self, peer: Peer, reason: str) -> None:
        logger.info("broker %d is down: %s", peer.broker_id, reason)
        peers = dict(self._peers)
        peers.pop(peer.broker_id, None)
        self._replace_peers(peers)
        self._host.peer_down(peer.broker_id)
        self._router.peer_down(peer.broker_id)

    def frame_arrived(self, broker_id: int, payload: bytes) -> None:
        groups = self._host.groups
        for number, message in enumerate(decode_frame(payload), 1):
            if not number % MESSAGES_BETWEEN_LOOKS:
                self._has_time()  # all of a frame is taken in, but others must hear of us
            subject, kind = message[0], message[1]
            handler = self._handlers.get(kind)
            if handler is not None:
                handler(broker_id, subject, *message[2:])
            else:
                opened = groups.get(subject)
                if opened is not None:
                    opened.group.receive(broker_id, message)

    def ping_payload(self, broker_id: int) -> bytes:
        return self._sleep_check.ping_payload(broker_id)

    def call_soon(self, call: Call) -> None:
        self._call(call)

    # -- messages

    def _message_handlers(self) -> dict[int, Callable[..., None]]:
        return {
            LinkMessage.PING: self._sleep_check.receive_ping,
            LinkMessage.ASLEEP: self._sleep_check.receive_asleep,
            LinkMessage.PROPOSE: self._receive_propose,
            LinkMessage.PROPOSED: lambda _b, _g, *fields: self._router.proposed(*fields),
            LinkMessage.REFUSED: self._receive_refused,
            LinkMessage.SEED: self._receive_seed,
            LinkMessage.SEED_ACK: self._seeds.acknowledged,
            LinkMessage.LOOP_MESSAGE: self._post_loop_message,
        }

    def _receive_propose(
        self, broker_id: int, group_id: str, request_id: int, timeout_ms: int, payload: bytes
    ) -> None:
        deadline_s = self._now_s + timeout_ms / 1000
        self._router.serve(broker_id, group_id, request_id, deadline_s, payload)

    def _receive_refused(
        self, broker_id: int, _: str, request_id: int, reason: int, controller_id: int, text: str
    ) -> None:
        self._router.refused(request_id, reason, controller_id, text, self._now_s)

    def _receive_seed(
        self, broker_id: int, base_id: str, generation: int, voters: Any, _old: Any, seed: bytes
    ) -> None:
        self._seeds.seed_arrived(broker_id, base_id, generation, tuple(voters), seed)

    def _deliver_seed(
        self, base_id: str, generation: int, voters: tuple[int, ...], seed: bytes
    ) -> None:
        def tell() -> None:
            if self.on_seed is not None:
                self.on_seed(base_id, generation, voters, seed)

        self._mail.add(tell)

    def _post_loop_message(self, broker_id: int, channel: str, body: bytes) -> None:
        self._mail.add(partial(self._receive_loop_message, broker_id, channel, body))

    def _receive_loop_message(self, broker_id: int, channel: str, body: bytes) -> None:
        callback = self._channels.get(channel)
        if callback is not None:
            callback(broker_id, body)

    # -- small things

    def _own_hello(self) -> LinkHello:
        own = self._self
        return LinkHello(
            broker_id=own.broker_id,
            session=own.session,
            incarnation=own.incarnation,
            cluster_id=self.cluster_id,
            wal_id=own.wal_id,
            host=own.host,
            port=own.port,
            rack=own.rack,
        )

    def _find_group(self, group_id: str) -> "RaftGroup | None":
        opened = self._host.groups.get(group_id)
        return None if opened is None else opened.group

    def _replace_peers(self, peers: dict[int, Peer]) -> None:
        self._peers = MappingProxyType(peers)
        self._mail.add(partial(self._tell_peers, self._peers))
        if self._thread is None:
            self._mail.deliver()

    def _tell_peers(self, peers: Peers) -> None:
        for callback in self.on_peers_changed:
            callback(peers)
