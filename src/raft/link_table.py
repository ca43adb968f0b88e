"""All links of this broker: dialed, accepted, refused in words, pinged.  Raft thread only.

Between two brokers the one with the higher id dials.  Where it does not know the address the lower
one does, a little later; a link that both would open is the higher one's.
"""

import contextlib
import ipaddress
import logging
import select
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from ..core.address_text import address_text
from .broker_life import NO_LIVES, KnownLife, is_of_old_folder, is_overtaken, old_folder
from .broker_link import READ, READ_BYTES, WRITE, BrokerLink, LinkDial, SocketAddress
from .errors import CorruptCommandError, CorruptFrameError
from .leader_lease import LeaderLease
from .link_hello import LINK_VERSION, LinkAnswer, LinkHello, LinkResult, hello_response
from .link_sockets import LinkSockets
from .liveness import Peer, RaftTiming

logger = logging.getLogger(__name__)

Address = tuple[str, int]
DEAD_SLACK_S = 0.002
"""Behind the moment at which a link counts as dead, clocks being of whole milliseconds."""
MAX_UNPROVEN_LINKS = 256
"""Accepted links from which no frame came yet."""


class LinkEvents(Protocol):
    """What the table tells the runtime."""

    def link_up(self, peer: Peer, is_new_session: bool) -> None: ...

    def link_down(self, peer: Peer, reason: str) -> None: ...

    def frame_arrived(self, broker_id: int, payload: bytes) -> None:
        """May raise CorruptFrameError; the link is closed then."""
        ...

    def ping_payload(self, broker_id: int) -> bytes: ...

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run a call on the Raft thread; for any thread."""
        ...


class LinkTable:
    """See the module.  `own_hello` tells who this broker is, at the moment it is asked."""

    def __init__(
        self,
        *,
        own_hello: Callable[[], LinkHello],
        events: LinkEvents,
        timing: RaftTiming,
        now_s: float,
        lease: LeaderLease | None = None,
    ) -> None:
        self.links: dict[int, BrokerLink] = {}
        """broker id -> the link that counts, up or not yet proven"""
        self.frames_sent = 0
        self.frames_received = 0
        self._own_hello = own_hello
        self._broker_id = own_hello().broker_id
        self._events = events
        self._timing = timing
        self._lease = lease or LeaderLease(timing.dead_after_s)
        self._now_s = now_s
        self._epoll = select.epoll()
        self._sockets = LinkSockets()
        self._by_fd: dict[int, BrokerLink | LinkDial | Callable[[], None]] = {}
        self._unproven: set[BrokerLink] = set()
        self._addresses: dict[int, Address] = {}
        self._dial_at_s: dict[int, float] = {}
        self._dials: dict[LinkDial, int] = {}  # fd, or -1 while a name is being resolved
        self._dialed_brokers: set[int] = set()
        self._last_session: dict[int, int] = {}
        self._lives: Mapping[int, KnownLife] = NO_LIVES
        self._last_refusal: dict[int, str] = {}
        self._scratch = memoryview(bytearray(READ_BYTES))

    # -- for the loop

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever `fd` has something to read."""
        self._by_fd[fd] = on_readable
        self._epoll.register(fd, READ)

    def wait(self, timeout_s: float) -> list[tuple[int, int]]:
        """What `serve` is to be given: sockets that are ready within `timeout_s`."""
        return self._epoll.poll(timeout_s)

    def serve(self, ready: Sequence[tuple[int, int]], now_s: float) -> None:
        """Take in everything that arrived."""
        self._now_s = now_s
        for fd, mask in ready:
            owner = self._by_fd.get(fd)
            if isinstance(owner, BrokerLink):
                self._serve_link(owner, mask)
            elif isinstance(owner, LinkDial):
                self._serve_dial(owner, fd)
            elif owner is not None:
                owner()

    def send_pings(self, now_s: float) -> float:
        """Ping every broker that has heard nothing for a while; when to look again."""
        self._now_s = now_s
        interval_s = self._timing.ping_interval_s
        next_s = now_s + interval_s
        for link in list(self.links.values()):
            due_s = link.last_sent_s + interval_s
            if now_s < due_s - self._timing.ping_slack_s:
                next_s = min(next_s, due_s)
            elif link.is_up:
                self.send(link.peer.broker_id, self._events.ping_payload(link.peer.broker_id))
        self._renew_lease(now_s)
        return next_s

    def beat(self, now_s: float) -> None:
        """Ping while the Raft thread waits, on another: what goes wrong is left for it to find."""
        for link in self.links.values():
            is_due = now_s - link.last_sent_s >= self._timing.ping_interval_s / 2
            if not link.is_up or link.wants_write or not is_due:
                continue
            with contextlib.suppress(OSError):
                link.send_frame(self._events.ping_payload(link.peer.broker_id), now_s)
            if link.wants_write:
                self._epoll.modify(link.fd, READ | WRITE)
        self._renew_lease(now_s)

    def _renew_lease(self, now_s: float) -> None:
        sent_s = (link.last_sent_s for link in self.links.values() if link.is_up)
        self._lease.renew(now_s, min(sent_s, default=now_s))

    def keep_alive(self, now_s: float) -> float:
        """Ping, give up the silent, dial what is missing; when to look again.

        Only behind `serve`: what a link has received and nobody has read must not count as silence.
        """
        next_s = self.send_pings(now_s)
        for link in list(self.links.values()):
            dead_s = link.last_heard_s + self._timing.dead_after_s
            if now_s > dead_s:
                self._drop(link, f"silent for {self._timing.dead_after_s} s")
            else:
                next_s = min(next_s, dead_s + DEAD_SLACK_S)
        for link in list(self._unproven):
            if now_s - link.last_heard_s > self._timing.answer_timeout_s:
                self._drop(link, "no frame in time")
        for dial, fd in list(self._dials.items()):
            if now_s >= dial.deadline_s:
                self._give_up(dial, fd, "no answer in time")
        for broker_id, dial_at_s in list(self._dial_at_s.items()):
            if broker_id in self.links or broker_id in self._dialed_brokers:
                continue
            if now_s >= dial_at_s:
                self._dial_broker(broker_id)
            else:
                next_s = min(next_s, dial_at_s)
        return next_s

    def excuse(self, paused_s: float) -> None:
        """This broker did not run for so long: with the whole machine perhaps, and its peers too.

        Then their silence is no sign of death.  Each is excused once until it is heard again, so
        that a broker which stumbles all the time finds out about the dead all the same.
        """
        for link in [*self.links.values(), *self._unproven]:
            if not link.is_excused:
                link.is_excused = True
                link.last_heard_s += paused_s

    def close(self) -> None:
        self._sockets.close()
        for link in [*self.links.values(), *self._unproven]:
            link.close()
        for dial in self._dials:
            dial.close()
        self._epoll.close()

    # -- for the runtime

    def is_up(self, broker_id: int) -> bool:
        link = self.links.get(broker_id)
        return link is not None and link.is_up

    def failing_brokers(self, now_s: float) -> frozenset[int]:
        """Who is up and may soon be down: the link is torn, or this broker has listened and heard
        nothing for a while.  Any thread."""
        torn = self._sockets.find_torn()
        silent_after_s = self._timing.silent_after_s
        if now_s - self._now_s > silent_after_s:
            return torn
        silent = (
            broker_id
            for broker_id, link in self.links.copy().items()
            if link.is_up and now_s - link.last_heard_s > silent_after_s
        )
        return torn.union(silent)

    def send(self, broker_id: int, payload: bytes) -> bool:
        """Send one frame; False if the link is not up (any more)."""
        link = self.links.get(broker_id)
        if link is None or not link.is_up:
            return False
        try:
            link.send_frame(payload, self._now_s)
        except OSError as error:
            self._drop(link, str(error))
            return False
        self.frames_sent += 1
        if link.wants_write:
            self._epoll.modify(link.fd, READ | WRITE)
        return True

    def set_addresses(
        self, addresses: Mapping[int, Address], lives: Mapping[int, KnownLife] = NO_LIVES
    ) -> None:
        """Keep a link to each of these, but to none whose life is over by what is known."""
        self._lives = lives
        for link in list(self.links.values()):
            peer = link.peer
            if is_overtaken(peer.wal_id, peer.session, lives.get(peer.broker_id)):
                self._drop(link, old_folder(peer.broker_id))
        self._addresses = {
            broker_id: address
            for broker_id, address in addresses.items()
            if broker_id != self._broker_id
        }
        known, self._dial_at_s = self._dial_at_s, {}
        for broker_id in self._addresses:
            self._dial_at_s[broker_id] = known.get(broker_id, self._first_dial_s(broker_id))

    def dial(self, host: str, port: int, on_done: Callable[[LinkResult], None]) -> None:
        """Ask who answers at an address; the connection ends with the answer."""
        hello = _as_probe(self._own_hello())

        def note_answer(sock: socket.socket, answer: LinkAnswer, rest: bytes) -> None:
            sock.close()
            found = answer.hello
            on_done(
                LinkResult(
                    found.broker_id,
                    found.session,
                    found.incarnation,
                    found.cluster_id,
                    answer.refusal,
                    is_reached=True,
                )
            )

        def note_failure(reason: str) -> None:
            on_done(LinkResult(refusal=f"{address_text(host, port)}: {reason}"))

        self._start_dial(hello, (host, port), note_answer, note_failure)

    def adopt(self, fd: int, hello: LinkHello) -> None:
        """Answer the hello of a connection that a listener accepted; keep it unless refused."""
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        refusal = self.refusal_of(hello)
        response = hello_response(LinkAnswer(self._own_hello(), refusal))
        link = BrokerLink(sock, Peer.of_hello(hello), is_dialed=False, now_s=self._now_s)
        try:
            link.send_bytes(response)
        except OSError as error:
            refusal = str(error)
        if refusal or hello.is_probe or len(self._unproven) >= MAX_UNPROVEN_LINKS:
            own = self._own_hello()
            if refusal and (hello.broker_id, hello.session) != (own.broker_id, own.session):
                what = f"refused a link of broker {hello.broker_id}"
                self._report(hello.broker_id, what, refusal + _way_to(hello, refusal))
            link.close()
            return
        if link.sock.family != socket.AF_UNIX:
            link.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unproven.add(link)
        self._register(link.fd, link, READ)

    def refusal_of(self, hello: LinkHello) -> str:
        """Why this broker takes no link of `hello`'s sender; "" if it does."""
        own = self._own_hello()
        if hello.link_version != LINK_VERSION:
            return f"link version {hello.link_version}: this broker speaks {LINK_VERSION}"
        if hello.broker_id == own.broker_id:
            if hello.session == own.session:
                return f"this is broker {own.broker_id} itself"
            return f"broker id {own.broker_id} is taken: the broker asked has it"
        if hello.cluster_id and own.cluster_id and hello.cluster_id != own.cluster_id:
            return f"cluster id {hello.cluster_id}: this broker belongs to {own.cluster_id}"
        if is_overtaken(hello.wal_id, hello.session, self._lives.get(hello.broker_id)):
            return old_folder(hello.broker_id)
        link = self.links.get(hello.broker_id)
        if link is None or not link.is_up:
            return ""
        if link.peer.session != hello.session:
            return f"broker id {hello.broker_id} is taken: another live broker has it"
        return ""

    # -- links

    def _serve_link(self, link: BrokerLink, mask: int) -> None:
        try:
            if mask & WRITE:
                link.flush()
                if not link.wants_write:
                    self._epoll.modify(link.fd, READ)
            if mask & ~WRITE:
                payloads = link.receive(self._scratch, self._now_s)
                self._take_payloads(link, payloads)
        except (OSError, CorruptFrameError, CorruptCommandError) as error:
            self._drop(link, str(error))

    def _take_payloads(self, link: BrokerLink, payloads: Sequence[bytes]) -> None:
        if not payloads:
            return
        if not link.is_up:
            self._prove(link)
        self.frames_received += len(payloads)
        broker_id = link.peer.broker_id
        for payload in payloads:
            if link.fd not in self._by_fd:
                return  # dropped by what an earlier payload led to
            self._events.frame_arrived(broker_id, payload)

    def _prove(self, link: BrokerLink) -> None:
        """A frame came back: this link counts from now on, and an older one is closed."""
        self._unproven.discard(link)
        peer = link.peer
        older = self.links.get(peer.broker_id)
        if older is not None:
            if self._outranks(older, link):
                self._drop(link, "linked already")
                return
            self._drop(older, "replaced by a newer link")
        link.is_up = True
        self.links[peer.broker_id] = link
        self._sockets.watch(peer.broker_id, link.fd)
        is_new_session = self._last_session.get(peer.broker_id) != peer.session
        self._last_session[peer.broker_id] = peer.session
        self._last_refusal.pop(peer.broker_id, None)
        self._events.link_up(peer, is_new_session)
        self.send(peer.broker_id, self._events.ping_payload(peer.broker_id))

    def _outranks(self, older: BrokerLink, newer: BrokerLink) -> bool:
        """Whether the one of two links to the same life that stays is the older."""
        peer = older.peer
        is_dialer = self._broker_id > peer.broker_id
        return (
            peer.session == newer.peer.session
            and older.is_dialed == is_dialer
            and newer.is_dialed != is_dialer
        )

    def _drop(self, link: BrokerLink, reason: str) -> None:
        if self._by_fd.pop(link.fd, None) is None:
            return
        self._epoll.unregister(link.fd)
        self._unproven.discard(link)
        broker_id = link.peer.broker_id
        if self.links.get(broker_id) is not link:
            link.close()
            return
        self._sockets.note_torn(broker_id, link.fd)
        link.close()
        del self.links[broker_id]
        if broker_id in self._addresses:
            self._dial_at_s[broker_id] = self._first_dial_s(broker_id)
        self._events.link_down(link.peer, reason)
        self._sockets.forget(broker_id)  # whose peers are told without it by now

    def _register(self, fd: int, owner: BrokerLink | LinkDial, mask: int) -> None:
        self._by_fd[fd] = owner
        self._epoll.register(fd, mask)

    # -- dialing

    def _first_dial_s(self, broker_id: int) -> float:
        waits_s = 0.0 if self._broker_id > broker_id else self._timing.lower_id_waits_s
        return self._now_s + waits_s

    def _dial_broker(self, broker_id: int) -> None:
        self._dialed_brokers.add(broker_id)
        self._start_dial(
            self._own_hello(),
            self._addresses[broker_id],
            partial(self._broker_answered, broker_id),
            partial(self._broker_failed, broker_id),
        )

    def _broker_answered(
        self, broker_id: int, sock: socket.socket, answer: LinkAnswer, rest: bytes
    ) -> None:
        found = answer.hello
        refusal = answer.refusal
        if not refusal and found.broker_id != broker_id:
            refusal = f"broker {found.broker_id} answers there"
        if not refusal:
            refusal = self.refusal_of(found)
        if refusal:
            sock.close()
            self._broker_failed(broker_id, refusal)
            return
        self._dialed_brokers.discard(broker_id)
        link = BrokerLink(sock, Peer.of_hello(found), is_dialed=True, now_s=self._now_s)
        self._register(link.fd, link, READ)
        self._prove(link)  # the answer was the peer's own frame
        try:
            self._take_payloads(link, link.take_received(rest, self._now_s))
        except (CorruptFrameError, CorruptCommandError) as error:
            self._drop(link, str(error))

    def _broker_failed(self, broker_id: int, reason: str) -> None:
        self._dialed_brokers.discard(broker_id)
        if broker_id in self._addresses:
            where = address_text(*self._addresses[broker_id])
            self._report(broker_id, f"no link to broker {broker_id} at {where}", reason)
            self._dial_at_s[broker_id] = self._now_s + self._timing.dial_retry_s

    def _start_dial(
        self,
        hello: LinkHello,
        address: Address,
        on_answer: Callable[[socket.socket, LinkAnswer, bytes], None],
        on_failure: Callable[[str], None],
    ) -> None:
        deadline_s = self._now_s + self._timing.dial_timeout_s

        def begin(addresses: Sequence[SocketAddress]) -> None:
            dial = LinkDial(
                addresses,
                hello,
                deadline_s=deadline_s,
                on_answer=on_answer,
                on_failure=on_failure,
            )
            self._try_next(dial)

        _resolve(address, begin, self._events.call_soon)

    def _try_next(self, dial: LinkDial) -> None:
        sock = dial.start_next()
        if sock is None:
            self._dials.pop(dial, None)
            return
        self._dials[dial] = sock.fileno()
        self._register(sock.fileno(), dial, READ | WRITE)

    def _serve_dial(self, dial: LinkDial, fd: int) -> None:
        try:
            found = dial.go_on()
        except (OSError, CorruptCommandError) as error:
            self._give_up(dial, fd, str(error))
            return
        if found is None:
            self._epoll.modify(fd, READ)
            if not dial.hello.is_probe:
                # Whoever took the connection is there: slow, stopped, or heard one way only.  To
                # begin anew would cost more than to wait.
                dial.deadline_s = dial.connected_s(self._now_s) + self._timing.answer_timeout_s
            return
        self._epoll.unregister(fd)
        del self._by_fd[fd]
        del self._dials[dial]
        dial.on_answer(*found)

    def _give_up(self, dial: LinkDial, fd: int, reason: str) -> None:
        """Leave this address; try the dial's next one."""
        if self._by_fd.pop(fd, None) is not None:
            self._epoll.unregister(fd)
        dial.note_failure(reason)
        if self._now_s >= dial.deadline_s:
            dial.deadline_s = self._now_s + self._timing.dial_timeout_s
        self._try_next(dial)

    def _report(self, broker_id: int, what: str, reason: str) -> None:
        """One line a reason and broker, until a link comes up."""
        if self._last_refusal.get(broker_id) != reason:
            self._last_refusal[broker_id] = reason
            logger.log(_level_of(reason), "%s: %s", what, reason)


def _level_of(reason: str) -> int:
    is_for_people = "taken" in reason or "cluster id" in reason or is_of_old_folder(reason)
    return logging.WARNING if is_for_people else logging.INFO


def _way_to(hello: LinkHello, refusal: str) -> str:
    """How to come to the cluster that looks for this broker, where this is another.

    So it is where the first broker of a list lost its disk, and its list names nobody else.
    """
    if not refusal.startswith("cluster id") or not hello.host:
        return ""
    return (
        "; if this broker lost its folder, and was a part of that cluster: stop it, empty "
        f"log.dirs, name {address_text(hello.host, hello.port)} in "
        "controller.quorum.bootstrap.servers, start it"
    )


def _as_probe(hello: LinkHello) -> LinkHello:
    return replace(hello, is_probe=True)


def _resolve(
    address: Address,
    on_done: Callable[[Sequence[SocketAddress]], None],
    call_soon: Callable[[Callable[[], None]], None],
) -> None:
    """The socket addresses of a host; a name is looked up on a thread of its own."""
    host, port = address
    literal = _literal_address(host, port)
    if literal is not None:
        on_done([literal])
        return

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # the latter for what can be no name, as a..b
            found = []
        addresses: list[SocketAddress] = []
        for entry in found:
            if entry[4] not in addresses:
                addresses.append(entry[4])
        call_soon(partial(on_done, addresses))

    threading.Thread(target=look_up, name="headrace-resolve", daemon=True).start()


def _literal_address(host: str, port: int) -> SocketAddress | None:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return (host, port) if version == 4 else (host, port, 0, 0)
