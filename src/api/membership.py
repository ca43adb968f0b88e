"""How a broker becomes, is, and stops being a member of a cluster.

    alone     no other broker is known: no Raft thread, every decision at once
    member    others are registered, or one of them has opened a link: the runtime runs
    joining   a new folder, and controller.quorum.bootstrap.servers names other brokers

A joining broker asks every address of that list.  One that answers with a cluster id is joined; if
none does, only the broker that is the first of the list itself forms a new cluster.  Loop thread
only.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..core.address_text import address_text
from ..core.clock import Clock
from ..core.errors import InconsistentLogDirError
from ..core.log_manager import LogManager
from ..raft.broker_identity import BrokerIdentity
from ..raft.broker_life import NO_LIVES, is_of_old_folder, with_registrations
from ..raft.cluster_commands import Command, RegisterBroker, UnregisterBroker
from ..raft.cluster_group import CLUSTER_GROUP_ID, ClusterGroup, Standing
from ..raft.link_hello import LinkResult
from ..raft.liveness import RaftTiming
from ..raft.outcomes import settle
from ..raft.quorum_link import QuorumLink
from ..raft.raft_runtime import RaftRuntime
from ..raft.raft_wal import RaftWal
from ..raft.replica_manager import ReplicaManager
from .broker_config import BrokerConfig, Listener, parse_servers

ASK_AGAIN_S = 0.2
LOOK_AGAIN_S = 0.5
REGISTER_AGAIN_S = 0.1
REFUSED_TRIES = 5
SAY_AGAIN_TRIES = 50
SAY_AGAIN_MS = 10_000
SAY_WAITING_S = 1.0
HAND_OVER_S = 3.0

logger = logging.getLogger(__name__)


class Membership:
    """See the module."""

    def __init__(
        self,
        *,
        config: BrokerConfig,
        identity: BrokerIdentity,
        wal: RaftWal,
        log_manager: LogManager,
        cluster_group: ClusterGroup,
        replicas: ReplicaManager,
        clock: Clock,
        on_fatal: Callable[[str], None],
    ) -> None:
        self.runtime: RaftRuntime | None = None
        self.quorum: QuorumLink | None = None  # with the runtime
        self.on_peers: list[Callable[[Mapping[int, Any]], None]] = []
        self._config = config
        self._identity = identity
        self._own_addresses: set[tuple[str, int]] = set()
        """Addresses at which this broker itself answered."""
        self._wal = wal
        self._log_manager = log_manager
        self._cluster_group = cluster_group
        self._replicas = replicas
        self._clock = clock
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._advertised: tuple[Listener, ...] = config.advertised_listeners
        # Where brokers answered that have not registered with their new addresses yet.
        self._moved: dict[int, tuple[str, int]] = {}
        self._nothing_led = asyncio.Event()
        self._is_listening = False
        registered = cluster_group.state.brokers.values()
        self._lives = with_registrations(NO_LIVES, [*registered, *cluster_group.journaled])
        replicas.seats.session = identity.session
        replicas.seats.wal_id = identity.wal_id
        replicas.seats.has_kept_cache = identity.has_kept_cache
        replicas.seats.kept_incarnations = identity.kept
        cluster_group.add_listener(self._on_applied)

    # -- with others

    def open(self) -> None:
        """Before partitions are hosted: take part in the groups of others, if there are any."""
        group = self._cluster_group
        is_alone = group.standing is Standing.SOLO and set(group.state.brokers) <= {group.broker_id}
        if not is_alone:
            self.take_part()

    def take_part(self) -> RaftRuntime:
        """The runtime, made if this broker was alone so far."""
        if self.runtime is not None:
            return self.runtime
        runtime = RaftRuntime(
            broker_id=self._cluster_group.broker_id,
            incarnation=self._identity.incarnation,
            session=self._identity.session,
            wal=self._wal,
            clock=self._clock,
            post=self._loop.call_soon_threadsafe,
            timing=RaftTiming(dead_after_s=self._config.headrace_link_silence_ms / 1000),
            on_fatal=self._on_fatal,
        )
        self.runtime = runtime
        # A broker whose decisions are not kept may vote no more, whichever thread found out.
        # Alone it goes on: its records need no decision.
        self._wal.on_failure = self._journal_failed
        runtime.cluster_id = self._log_manager.cluster_id
        runtime.on_seed = self._seed_arrived
        runtime.on_overslept = self.look_at_lease
        self._introduce(runtime)
        self._replicas.connect(runtime, self._schedule, session=runtime.session)
        self._cluster_group.connect(runtime, self._schedule)
        self.quorum = QuorumLink(
            broker_id=self._cluster_group.broker_id,
            runtime=runtime,
            schedule=self._schedule,
            clock=self._clock,
            is_alone=self.decides_alone,
        )
        runtime.on_peers_changed += self.on_peers
        runtime.set_addresses(self._addresses(), self._lives)
        if self._is_listening:
            runtime.start()
        return runtime

    def look_at_lease(self) -> None:
        """Before a request is served: was this broker stopped for so long that others may lead?"""
        if self.runtime is None:
            return
        if self.runtime.lease.has_overslept(self._clock.monotonic_ms() / 1000):
            logger.info("this broker did not run for a while: others may lead what it led")
            self._replicas.seats.contact.overslept()

    def _journal_failed(self, reason: str) -> None:
        """Any thread, and the log's lock is held."""
        self._loop.call_soon_threadsafe(self._on_fatal, reason)

    def decides_alone(self, base_id: str) -> bool:
        """Whether this broker alone decides in a group."""
        if base_id == CLUSTER_GROUP_ID:
            return self._cluster_group.standing is Standing.SOLO
        return self._replicas.seats.is_alone_in(base_id)

    def _for_brokers(self) -> Listener:
        """Where other brokers reach this one: inter.broker.listener.name, as it is advertised."""
        name = self._config.inter_broker_listener_name
        return next(each for each in self._advertised if each.name == name)

    def _introduce(self, runtime: RaftRuntime) -> None:
        told = self._for_brokers()
        runtime.introduce(
            host=told.host,
            port=told.port,
            rack=self._config.broker_rack,
            wal_id=self._identity.wal_id,
        )

    def _addresses(self) -> dict[int, tuple[str, int]]:
        registered = {
            broker.broker_id: (broker.host, broker.port)
            for broker in self._cluster_group.state.brokers.values()
            if broker.broker_id != self._cluster_group.broker_id
        }
        return {**registered, **self._moved}

    def _schedule(self, delay_ms: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_ms / 1000, callback)

    def _seed_arrived(
        self, base_id: str, generation: int, voters: tuple[int, ...], seed: bytes
    ) -> None:
        if base_id == CLUSTER_GROUP_ID:
            self._cluster_group.seed_arrived(generation, voters, seed)
        else:
            self._replicas.seats.seed_arrived(base_id, generation, voters, seed)

    def _on_applied(self, command: Command, _result: Any) -> None:
        if isinstance(command, RegisterBroker | UnregisterBroker):
            self._moved.pop(command.broker_id, None)
            if isinstance(command, RegisterBroker):
                self._lives = with_registrations(self._lives, [command])
            if self.runtime is not None:
                self.runtime.set_addresses(self._addresses(), self._lives)

    # -- joining

    async def join(self, advertised: Sequence[Listener]) -> None:
        """Find or form the cluster and register, now that the listeners are open.

        Raises InconsistentLogDirError where the cluster refuses this broker.
        """
        self._advertised = tuple(advertised)
        self._is_listening = True
        if self._cluster_group.standing is Standing.FOLLOWER and not self._addresses():
            await self._find_cluster()
        elif others := self._bootstrap_others():
            runtime = self.take_part()
            self._introduce(runtime)
            runtime.start()
            await self._ask_all(runtime, others)
        if self.runtime is not None:
            self._introduce(self.runtime)
            self.runtime.start()
        await self._register()

    async def _find_cluster(self) -> None:
        others = self._bootstrap_others()
        if not others:
            self._form()
            return
        runtime = self.take_part()
        self._introduce(runtime)
        runtime.start()
        tries = 0
        while True:
            found = await self._ask_all(runtime, others)
            known = [
                (address, result)
                for address, result in zip(others, found, strict=True)
                if result.cluster_id and not self._is_own(address)
            ]
            if known:
                self._enter_cluster(runtime, known)
                return
            if self._is_first() and not self._log_manager.cluster_id:
                self._form()
                return
            if tries % SAY_AGAIN_TRIES == 0:
                answers = [
                    _not_found(address, result)
                    for address, result in zip(others, found, strict=True)
                    if not self._is_own(address)
                ]
                logger.warning("no cluster found yet, asking on: %s", "; ".join(answers))
            tries += 1
            await asyncio.sleep(ASK_AGAIN_S)

    async def _ask_all(
        self, runtime: RaftRuntime, addresses: Sequence[tuple[str, int]]
    ) -> list[LinkResult]:
        """Who answers where; raises InconsistentLogDirError where one refuses this broker."""
        for is_last in (False,) * REFUSED_TRIES + (True,):
            found = await self._ask_each(runtime, addresses)
            refusals = [
                f"{_text(address)} refuses: {result.refusal}{self._remedy(result)}"
                for address, result in zip(addresses, found, strict=True)
                if result.is_reached and result.refusal and not self._is_own(address)
            ]
            if not refusals:
                break
            if is_last:
                raise InconsistentLogDirError(refusals[0])
            # Our own last life may still count as live there for a moment.
            await asyncio.sleep(ASK_AGAIN_S)
        return found

    def _remedy(self, refused: LinkResult) -> str:
        """What to change, so that a cluster takes this broker."""
        own_id = self._log_manager.cluster_id
        if own_id and refused.cluster_id and refused.cluster_id != own_id:
            return (
                f"; what is in log.dirs here belongs to cluster {own_id}: choose another folder, "
                "or the addresses of that cluster in controller.quorum.bootstrap.servers"
            )
        is_taken = "taken" in refused.refusal
        return "; stop that one, or set another node.id here" if is_taken else ""

    async def _ask_each(
        self, runtime: RaftRuntime, addresses: Sequence[tuple[str, int]]
    ) -> list[LinkResult]:
        found = await asyncio.gather(*(self._ask(runtime, address) for address in addresses))
        # A name of this machine that the listeners do not use leads here all the same.
        for address, result in zip(addresses, found, strict=True):
            if result.is_reached and result.session == self._identity.session:
                self._own_addresses.add(address)
        return found

    async def _keep_looking(self) -> None:
        """Find brokers of this cluster that listen elsewhere than they registered.

        A cluster that was stopped and moved to other ports has no majority that could register them
        before it has found itself.
        """
        others = self._bootstrap_others()
        while self.runtime is not None and others:
            answers = await self._ask_each(self.runtime, others)
            for address, answer in zip(others, answers, strict=True):
                if is_of_old_folder(answer.refusal):
                    self._on_fatal(f"{_text(address)} refuses: {answer.refusal}")
                if answer.cluster_id and answer.cluster_id == self._log_manager.cluster_id:
                    self._moved[answer.broker_id] = address
            self.runtime.set_addresses(self._addresses(), self._lives)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _ask(self, runtime: RaftRuntime, address: tuple[str, int]) -> LinkResult:
        answered: asyncio.Future[LinkResult] = self._loop.create_future()
        runtime.dial(*address, partial(settle, answered))
        return await answered

    def _enter_cluster(
        self, runtime: RaftRuntime, known: Sequence[tuple[tuple[str, int], LinkResult]]
    ) -> None:
        cluster_id = known[0][1].cluster_id
        logger.info("joining cluster %s at %s", cluster_id, _text(known[0][0]))
        self._log_manager.adopt_cluster_id(cluster_id)
        runtime.cluster_id = cluster_id
        found = {result.broker_id: address for address, result in known}
        runtime.set_addresses(found, self._lives)

    def _form(self) -> None:
        self._cluster_group.form()
        self._log_manager.adopt_cluster_id(self._log_manager.cluster_id)
        cluster_id = self._log_manager.cluster_id
        logger.info("forming cluster %s", cluster_id)
        if self.runtime is not None:
            self.runtime.cluster_id = cluster_id

    def _bootstrap(self) -> list[tuple[str, int]]:
        named = ",".join(self._config.controller_quorum_bootstrap_servers)
        return list(parse_servers("controller.quorum.bootstrap.servers", named))

    def _bootstrap_others(self) -> list[tuple[str, int]]:
        return [address for address in self._bootstrap() if not self._is_own(address)]

    def _is_first(self) -> bool:
        addresses = self._bootstrap()
        return bool(addresses) and self._is_own(addresses[0])

    def _is_own(self, address: tuple[str, int]) -> bool:
        # A controller listener is not opened, but who names it in Kafka's way means this broker.
        listeners = (*self._advertised, *self._config.listeners, *self._config.controller_listeners)
        own = {(listener.host, listener.port) for listener in listeners}
        local = ("localhost", "127.0.0.1", "::1")
        return address in own | self._own_addresses or (
            address[0] in local and any((host, address[1]) in own for host in local)
        )

    async def _register(self) -> None:
        """Register until it is decided; alone that is at once."""
        looking = asyncio.ensure_future(self._keep_looking())
        saying = self._loop.call_later(SAY_WAITING_S, self._say_what_for)
        try:
            await self._register_until_decided()
        finally:
            looking.cancel()
            saying.cancel()
        if self._cluster_group.standing is not Standing.SOLO:
            self._replicas.finish_deletions()

    def _say_what_for(self) -> None:
        """Who has to be heard before this broker can register and serve."""
        group, runtime = self._cluster_group, self.runtime
        live = sorted(runtime.live_brokers() if runtime is not None else ())
        if group.standing is Standing.VOTER:
            awaited = (
                f"a majority of brokers {_ids(sorted(group.voters))}, which vote on the cluster"
            )
        else:
            awaited = "the Controller of the cluster"
        logger.info("waiting for %s, to register; up are %s", awaited, _ids(live))

    async def _register_until_decided(self) -> None:
        # What is over within a second, as in every start, is no news.
        say_at_ms = self._clock.monotonic_ms() + int(SAY_WAITING_S * 1000)
        while True:
            result = await self._decide(self._registration())
            if not isinstance(result, Exception):
                break
            now_ms = self._clock.monotonic_ms()
            if now_ms >= say_at_ms:
                logger.warning("not registered with the cluster yet: %s", result)
                say_at_ms = now_ms + SAY_AGAIN_MS
            await asyncio.sleep(REGISTER_AGAIN_S)

    def _registration(self) -> RegisterBroker:
        told = self._for_brokers()
        return RegisterBroker(
            self._cluster_group.broker_id,
            self._identity.incarnation,
            told.host,
            told.port,
            self._config.broker_rack,
            self._identity.session,
            self._identity.wal_id,
            tuple((each.name, each.host, each.port) for each in self._advertised),
        )

    async def _decide(self, command: Command) -> Any:
        decided: asyncio.Future[Any] = self._loop.create_future()
        self._cluster_group.propose(command, partial(settle, decided))
        return await decided

    # -- leaving

    async def leave(self) -> bool:
        """Let others lead what this broker leads, before it closes; whether it led anything."""
        if self.runtime is None or not self._config.controlled_shutdown_enable:
            return False
        has_led = self._replicas.led_count() > 0
        self._replicas.on_state_taken = lambda _partition: self._note_led()
        self._replicas.seats.stop_leading()
        self._note_led()
        try:
            await asyncio.wait_for(self._nothing_led.wait(), HAND_OVER_S)
        except TimeoutError:
            logger.warning("%d partitions found no other leader", self._replicas.led_count())
        return has_led

    def _note_led(self) -> None:
        if self._replicas.led_count() == 0:
            self._nothing_led.set()

    def close(self) -> None:
        """End the Raft thread; idempotent."""
        if self.runtime is not None:
            self.runtime.stop()


def _not_found(address: tuple[str, int], answer: LinkResult) -> str:
    if answer.is_reached:
        return f"{_text(address)}: broker {answer.broker_id} waits for its cluster too"
    return answer.refusal or f"{_text(address)}: no answer"


def _ids(broker_ids: Sequence[int]) -> str:
    return ",".join(map(str, broker_ids))


def _text(address: tuple[str, int]) -> str:
    return address_text(*address)
