"""This broker's seats in the groups of partitions: what it votes on, and where it is controller.

Opens a group where the write-ahead log has it, a birth names this broker, or a seed makes it a
voter; follows a group through its generations; and, where this broker is the controller, proposes
what `partition_controller` decides.  Loop thread only.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..core.log_config import LogConfig
from .cluster_group import ClusterGroup
from .ended_moves import EndedMoves
from .errors import ElectionNotNeededError, EligibleLeadersNotAvailableError, ReplicationError
from .found_groups import FoundGroup, FoundGroups
from .group_machines import generation_group_id
from .late_news import LateNews
from .leader_contact import LeaderContact, is_cut_off
from .leader_doubts import LeaderDoubts
from .left_groups import LeftGroups
from .offline_replicas import OfflineReplicas
from .partition import Partition
from .partition_controller import (
    ControllerView,
    LiveBroker,
    decide_by_hand,
    has_moved,
    next_decision,
)
from .partition_group import (
    PartitionGroup,
    parse_partition_group_id,
    partition_group_id,
    tell_outcome,
)
from .partition_news import PartitionNews
from .partition_state import Outcome, PartitionState, encode_partition_command
from .raft_wal import RaftWal
from .runtime_contract import Applied, Runtime, Schedule
from .seat import Seat, reports_to
from .seed_sender import PendingSeed
from .topic_image import TopicImage

DECIDE_AGAIN_MS = 50

logger = logging.getLogger(__name__)


class GroupSeats:
    """See the module.

    `on_changed(seat)` is called after each new state, `on_left(seat)` when this broker votes no
    more; `config_of` gives a topic's settings, None where they are invalid.  `on_state` are told a
    base id when a new state of it is known here, whoever votes, or the topic is gone.
    """

    def __init__(
        self,
        *,
        broker_id: int,
        incarnation: int,
        wal: RaftWal,
        cluster_group: ClusterGroup,
        on_changed: Callable[[Seat], None],
        on_left: Callable[[Seat], None],
        config_of: Callable[[TopicImage], LogConfig | None],
    ) -> None:
        self.broker_id = broker_id
        self.incarnation = incarnation
        self.session = self.wal_id = 0
        self.has_kept_cache = False
        self.kept_incarnations: Collection[int] = ()
        self.news: PartitionNews | None = None
        self.offline = OfflineReplicas(broker_id, self._offline_changed)
        self.live: dict[int, LiveBroker] = {}
        self.on_peers: Callable[[], None] = lambda: None
        self.on_state: list[Callable[[str], None]] = []
        self._wal, self._cluster_group = wal, cluster_group
        self._on_changed = on_changed
        self._on_left = on_left
        self._config_of = config_of
        self._runtime: Runtime | None = None
        self._schedule: Schedule | None = None
        self._seats: dict[str, Seat] = {}
        self._found = FoundGroups(wal)
        self._is_balance_due = False
        self.left = LeftGroups(wal)
        self.contact = LeaderContact(broker_id, self._contact_changed)
        self._doubts = LeaderDoubts(self._look_at_leader)
        self._ended_moves = EndedMoves(cluster_group, self._decide_again)

    # -- looking up

    def seats(self) -> Iterable[Seat]:
        """Every group that this broker votes in."""
        return self._seats.values()

    def is_alone_in(self, base_id: str) -> bool:
        """Whether this broker decides by itself in a group."""
        seat = self._seats.get(base_id)
        return seat is not None and seat.group.is_alone

    def seat_of(self, topic_id: bytes, index: int) -> Seat | None:
        """This broker's seat, None where it does not vote."""
        return self._seats.get(partition_group_id(topic_id, index))

    def state_of(self, topic: TopicImage, index: int) -> PartitionState | None:
        """The newest state of a partition that is known here, whoever holds it."""
        base_id = partition_group_id(topic.topic_id, index)
        seat = self._seats.get(base_id)
        told = None if self.news is None else self.news.told_state(base_id)
        if told is None and seat is not None and seat.group.state.replicas:
            return seat.group.state
        if known := [s for s in (told, seat and seat.group.state) if s and s.replicas]:
            return max(known, key=lambda state: (state.generation, state.partition_epoch))
        birth = topic.birth_of(index)
        return None if birth is None else birth[0]

    # -- opening

    def open_seat(self, topic: TopicImage, index: int) -> Seat | None:
        """Take this broker's seat in a partition's group; None where it has none (yet)."""
        base_id = partition_group_id(topic.topic_id, index)
        if base_id in self._seats:
            return self._seats[base_id]
        if base_id in self.left:
            return None
        found = self._found.take_newest(base_id)
        if found is not None:
            seat = self._reopen(topic, index, base_id, found)
        else:
            seat = self._open_new(topic, index, base_id)
        if seat is not None:
            self._seats[base_id] = seat
            if seat.group.is_alone and seat.group.is_sealed and self._runtime is not None:
                self._follow_found_seal(seat)
        return self._seats.get(base_id)

    def replica_opened(self, seat: Seat) -> None:
        """Its log can be read: say how far it reaches where that is of interest."""
        self._report([seat], self.live)

    def _reopen(
        self, topic: TopicImage, index: int, base_id: str, found: FoundGroup
    ) -> Seat | None:
        state = found.state
        if found.is_left_by(self.broker_id):
            self.left.found(base_id, found.generation)
            return None
        if not found.is_shared:
            seat = Seat(topic.name, index, PartitionGroup(self._wal, found.group_id))
            seat.note_held(self.broker_id, found.image)
            return seat
        group = PartitionGroup.shared(self._wal, found.group_id, state, state.voters)
        seat = Seat(topic.name, index, group)
        seat.note_held(self.broker_id, found.image)
        self._open_shared(seat, first_state=None, campaign=False)
        return seat

    def _open_new(self, topic: TopicImage, index: int, base_id: str) -> Seat | None:
        birth = topic.birth_of(index)
        if birth is None or len(birth[0].voters) == 1:
            if self.broker_id not in topic.assignments[index]:
                return None
            return Seat(topic.name, index, PartitionGroup(self._wal, base_id))
        state, members = birth
        own = members.get(self.broker_id)
        is_named = self.broker_id in state.voters and own is not None and own.wal_id == self.wal_id
        if not is_named or topic.assignments[index] != state.replicas:
            return None
        group = PartitionGroup.shared(self._wal, base_id, state, state.voters)
        seat = Seat(topic.name, index, group)
        self._take_state(group, state)
        self._open_shared(
            seat, first_state=state.to_bytes(), campaign=state.voters[0] == self.broker_id
        )
        return seat

    def _open_shared(self, seat: Seat, *, first_state: bytes | None, campaign: bool) -> None:
        assert self._runtime is not None, seat.topic
        seat.is_controller = False
        generation = seat.group.generation
        seat.group.open_shared(
            self._runtime,
            first_state=first_state,
            campaign=campaign,
            on_applied=partial(self._on_applied, seat, generation),
            on_role=partial(self._on_role, seat, generation),
        )

    def close_seats(self, base_ids: Collection[str], *, forget: bool = True) -> None:
        """Their topic is gone: drop what was to begin the groups anew elsewhere; `forget` them."""
        alone = []
        for base_id in base_ids:
            seat = self._seats.pop(base_id, None)
            if seat is None:
                continue
            self._doubts.end(seat.group)
            if seat.group.is_alone:
                alone.append(seat.group.group_id)
            elif self._runtime is not None:
                self._runtime.close_group(seat.group.group_id, forget=forget)
        if self.news is not None:
            self.news.forget(base_ids)
        self.offline.forget(base_ids)
        self.drop_seeds(base_ids)
        if forget:
            self._wal.forget_groups(alone)
            self.left.forget(base_ids)
        for base_id in base_ids:
            self.tell_state(base_id)

    def drop_seeds(self, base_ids: Collection[str]) -> None:
        """Bring seeds of these groups to nobody any more."""
        if self._runtime is not None and base_ids:
            self._runtime.drop_seeds(base_ids)

    # -- with other brokers

    def connect(self, runtime: Runtime, schedule: Schedule, *, session: int) -> None:
        """Take part in the groups of several brokers from now on."""
        self._runtime, self._schedule, self.session = runtime, schedule, session
        self._doubts.schedule = schedule
        self.news = PartitionNews(
            runtime,
            on_report=self._reported,
            on_stopping=self._stopping_said,
            on_state=self.tell_state,
        )
        self.offline.connect(runtime)
        LateNews(self.news, self.offline, self._cluster_group, schedule)
        runtime.on_peers_changed.append(self._peers_changed)
        self._peers_changed(runtime.live_brokers())
        for seat in list(self._seats.values()):
            if seat.group.is_alone and seat.group.is_sealed:
                self._follow_found_seal(seat)

    def seed_arrived(
        self, base_id: str, generation: int, voters: tuple[int, ...], seed: bytes
    ) -> None:
        """The first state of a later generation came; see `Runtime.on_seed`."""
        assert self._runtime is not None
        key = parse_partition_group_id(base_id)
        topic = None if key is None else self._cluster_group.state.topic_by_id(key[0])
        if key is None or topic is None or key[1] >= topic.partition_count:
            return  # this broker does not know the topic yet; the seed comes again
        seat = self._seats.get(base_id)
        is_news = seat is not None or not self.left.is_over(base_id, generation)
        if is_news and (seat is None or seat.group.generation < generation):
            state = PartitionState.from_bytes(seed)
            if seat is None and self.broker_id in voters:
                group_id = generation_group_id(base_id, generation)
                group = PartitionGroup.shared(self._wal, group_id, state, voters)
                seat = Seat(topic.name, key[1], group)
                self._journal_entry(group, state, None)
                self._seats[base_id] = seat
                self._enter(seat, state, campaign=False)
            elif seat is not None:
                self._begin_generation(seat, state, campaign=False)
            elif self.news is not None:
                self.news.remember(base_id, state)
        self._runtime.ack_seed(base_id, generation)

    def _follow_found_seal(self, seat: Seat) -> None:
        """An earlier life saw the generation end, and may have told nobody.

        With whom it voted there is no longer known: whoever is registered may have been one, and
        who was not just acknowledges the seed.
        """
        seat.group.voters = tuple(sorted({*self._cluster_group.state.brokers, self.broker_id}))
        self._follow_seal(seat, seat.group.state)

    def _follow_seal(self, seat: Seat, state: PartitionState) -> None:
        """The generation is over: begin the next one, and bring its seed to whom it concerns."""
        group, voters = seat.group, state.voters
        old_voters = group.voters or (self.broker_id,)
        seed = PendingSeed(group.base_id, state.generation, voters, old_voters, state.to_bytes())
        is_first = seat.is_controller or voters[0] == self.broker_id
        self._begin_generation(seat, state, campaign=is_first, seed=seed)

    def _begin_generation(
        self, seat: Seat, state: PartitionState, *, campaign: bool, seed: PendingSeed | None = None
    ) -> None:
        """Leave a generation for the next one, whose `seed` this broker brings to the others.

        The old group is what a restart would begin with again, so it is forgotten last.
        """
        runtime, group = self._runtime, seat.group
        assert runtime is not None
        old_id, was_alone = group.group_id, group.is_alone
        self._journal_entry(group, state, seed)
        if seed is not None:
            base_id, voters, old_voters = seed.base_id, seed.voters, seed.old_voters
            runtime.send_seed(base_id, seed.generation, voters, old_voters, seed.seed)
        if was_alone:
            seat.forgettable = old_id
        else:
            runtime.close_group(old_id, forget=True)
        seat.is_deciding = False
        self._enter(seat, state, campaign=campaign)

    def _journal_entry(
        self, group: PartitionGroup, state: PartitionState, seed: PendingSeed | None
    ) -> None:
        """Make durable, with `seed`, that this broker leaves a group or goes on in it alone.

        Where it goes on with others the Raft thread does, behind the seed.  Raises
        KafkaStorageError: then this broker is where it was.
        """
        if self.broker_id not in state.voters:
            self.left.leave(group.base_id, state, seed)
        elif len(state.voters) == 1:
            group.begin_alone(state, seed)

    def _enter(self, seat: Seat, state: PartitionState, *, campaign: bool) -> None:
        """Take the seat in the generation, or leave it; `_journal_entry` came before."""
        group = seat.group
        seat.journaled_index = 0
        self._doubts.renew(group, ends=self.broker_id not in state.voters or group.is_alone)
        if state.voters == (self.broker_id,):
            self._forget_old(seat)
            seat.is_controller = True
            self._tell_changed(seat)
            self.evaluate(seat)
            return
        group.state, group.generation, group.voters = state, state.generation, state.voters
        if self.broker_id not in state.voters:
            self._seats.pop(group.base_id, None)
            if self.news is not None:
                self.news.remember(group.base_id, state)
            self._forget_old(seat)
            self._on_left(seat)
        else:
            self._open_shared(seat, first_state=state.to_bytes(), campaign=campaign)
            self._take_state(group, state)
            self._tell_changed(seat)
            self._report([seat], self.live)  # voters may be new, who have not been told

    def _forget_old(self, seat: Seat) -> None:
        if seat.forgettable:
            self._wal.forget_groups([seat.forgettable])
            seat.forgettable = ""

    # -- what groups tell

    def _take_state(self, group: PartitionGroup, state: PartitionState) -> None:
        group.state = state
        group.may_lead = self._may_lead(group)

    def _may_lead(self, group: PartitionGroup) -> bool:
        """Elected in this life of the process, in touch with who could elect another, and since."""
        state = group.state
        if state.leader_session != self.session or self.session == 0:
            return False
        if is_cut_off(state, self.contact.reachable):
            self._doubts.begin(group)
            return False
        return not self._doubts.must_prove(group)

    def _contact_changed(self) -> None:
        for base_id in list(self._seats):
            self._look_at_leader(base_id)

    def _look_at_leader(self, base_id: str) -> None:
        """Stop, or go on, leading where this broker's own epoch still lasts."""
        seat = self._seats.get(base_id)
        if seat is None or seat.group.is_alone or seat.group.state.leader != self.broker_id:
            return
        may_lead = self._may_lead(seat.group)
        if may_lead != seat.group.may_lead:
            seat.group.may_lead = may_lead
            self._tell_changed(seat)

    def _on_applied(self, seat: Seat, generation: int, applied: list[Applied]) -> None:
        group = seat.group
        if generation != group.generation or group.is_alone:
            return
        self._forget_old(seat)
        has_caught_up = seat.note_applied(applied[-1][0])
        state = applied[-1][3]
        assert isinstance(state, PartitionState), state
        if state.partition_epoch < group.state.partition_epoch:
            return  # a birth is known before its group is open
        if state == group.state and not has_caught_up:
            return
        self._take_state(group, state)
        if group.is_sealed:
            self._follow_seal(seat, state)
        else:
            self._tell_changed(seat)
            self._tell_outsiders([seat], self.live)
            self.evaluate(seat)

    def _tell_changed(self, seat: Seat) -> None:
        self._on_changed(seat)
        self.tell_state(seat.group.base_id)

    def tell_state(self, base_id: str) -> None:
        for on_state in self.on_state:
            on_state(base_id)

    def _on_role(self, seat: Seat, generation: int, is_controller: bool) -> None:
        if generation == seat.group.generation:
            seat.is_controller = is_controller
            self.evaluate(seat)

    # -- as a controller

    def evaluate(self, seat: Seat) -> None:
        """Propose what the partition needs now, if it is this broker's to say."""
        group = seat.group
        if self._runtime is None or not seat.is_controller or seat.is_deciding or group.is_sealed:
            return
        topic = self._cluster_group.state.topics.get(seat.topic)
        if topic is None:
            return
        view, assignment = self._view(topic, seat.index), topic.assignments[seat.index]
        has_arrived = has_moved(group.state, view, assignment)
        if has_arrived and (seat.index in topic.targets or group.state.replicas != assignment):
            self._ended_moves.tell(seat, topic)
        if has_arrived:
            # No step before the cluster knows; leaders all the same.
            view = replace(view, target=())
        if group.is_alone and view.target in ((), group.state.replicas):
            return  # alone, the broker that holds it elects itself when it starts
        command = next_decision(group.state, view)
        if command is None:
            return
        seat.is_deciding = True
        logger.debug("%s-%d: %s", seat.topic, seat.index, command)
        group.propose(command, partial(self._decided, seat, group.generation))
        if group.is_alone and group.is_sealed:
            self._follow_seal(seat, group.state)

    def _view(self, topic: TopicImage, index: int) -> ControllerView:
        news, config = self.news, self._config_of(topic)
        target = topic.targets.get(index, topic.assignments[index])
        assert news is not None
        base_id = partition_group_id(topic.topic_id, index)
        reports = dict(news.reports_of(base_id))
        seat = self._seats.get(base_id)
        own = self.broker_id, self.incarnation
        if seat and (told := seat.report_log(own, self.kept_incarnations)):
            reports[self.broker_id] = told
        return ControllerView(
            live=self.live,
            stopping=news.stopping,
            offline=self.offline.brokers_of(base_id),
            lost=self.offline.lost.brokers_of(base_id),
            full=self.offline.full.brokers_of(base_id),
            reports=reports,
            allows_unclean=config is not None and config.unclean_leader_election_enable,
            min_in_sync=0 if config is None else config.min_insync_replicas,
            is_balance_due=self._is_balance_due,
            target=target,
            is_called_off=target == topic.assignments[index],
            registered=self._cluster_group.state.brokers,
        )

    def _decided(self, seat: Seat, generation: int, outcome: Outcome | Exception) -> None:
        if generation != seat.group.generation:
            return
        seat.is_deciding = False
        if outcome is Outcome.APPLIED:
            self.evaluate(seat)
            return
        logger.debug("%s-%d: not decided: %r", seat.topic, seat.index, outcome)
        self._decide_again(seat)

    def _decide_again(self, seat: Seat) -> None:
        assert self._schedule is not None
        self._schedule(DECIDE_AGAIN_MS, partial(self.evaluate, seat))

    def evaluate_topic(self, topic: TopicImage) -> None:
        """What the cluster wants of its partitions has changed."""
        for index in range(topic.partition_count):
            seat = self._seats.get(partition_group_id(topic.topic_id, index))
            if seat is not None:
                self.evaluate(seat)

    def elect_by_hand(
        self, topic: TopicImage, index: int, *, is_unclean: bool, on_done: Callable[[Any], None]
    ) -> None:
        """Propose the election that a person asks for, whoever is the partition's controller.

        `on_done` gets an `Outcome` or a ReplicationError.
        """
        state = self.state_of(topic, index)
        if state is not None and self.news is None and state.leader == self.broker_id:
            on_done(ElectionNotNeededError(f"broker {self.broker_id} leads {topic.name}-{index}"))
            return
        if state is None or self.news is None or self._runtime is None:
            on_done(EligibleLeadersNotAvailableError("no other broker is up"))
            return
        view, name = self._view(topic, index), f"{topic.name}-{index}"
        try:
            command = decide_by_hand(state, view, is_unclean=is_unclean, name=name)
        except ReplicationError as error:
            on_done(error)
            return
        base_id = partition_group_id(topic.topic_id, index)
        group_id = generation_group_id(base_id, state.generation)
        self._runtime.propose(
            group_id, encode_partition_command(command), partial(tell_outcome, on_done)
        )

    def balance(self) -> None:
        """Give partitions back to their preferred leaders where those are fit."""
        self._is_balance_due = True
        try:
            self._evaluate_all()
        finally:
            self._is_balance_due = False

    def _evaluate_all(self) -> None:
        for seat in list(self._seats.values()):
            self.evaluate(seat)

    # -- news

    def _peers_changed(self, peers: Mapping[int, Any]) -> None:
        before, news = self.live, self.news
        assert news is not None
        self.live = {
            broker_id: LiveBroker(broker_id, peer.incarnation, peer.session, peer.wal_id)
            for broker_id, peer in peers.items()
        }
        news.peers_changed(peers)
        assert self._schedule is not None
        self.contact.peers_changed(self.live, self._schedule)
        come = [b for b, peer in self.live.items() if before.get(b) != peer]
        seats = list(self._seats.values())
        self.offline.peers_changed(peers, come)
        self._tell_outsiders(seats, come)
        self._report(seats, come)
        self.on_peers()
        self._evaluate_all()

    def _reported(self, base_id: str) -> None:
        seat = self._seats.get(base_id)
        if seat is not None:
            self.evaluate(seat)

    def _stopping_said(self, _broker_id: int) -> None:
        self.on_peers()
        self._evaluate_all()

    def _offline_changed(self, base_ids: Iterable[str]) -> None:
        """Replicas of these groups went offline, or came back."""
        self.on_peers()
        for base_id in base_ids:
            self._reported(base_id)

    def note_offline(
        self, partitions: Iterable[Partition], *, is_offline: bool, is_lost: bool = False
    ) -> None:
        """Logs here cannot be used, or can be used again: tell everybody, who elect others."""
        base_ids = [partition_group_id(each.topic_id, each.index) for each in partitions]
        self.offline.lost.note_own(base_ids, is_offline=is_lost)
        changed = self.offline.note_own(base_ids, is_offline=is_offline)
        if not is_offline:
            self._report([self._seats[each] for each in changed if each in self._seats], self.live)
        for base_id in changed:
            self._reported(base_id)

    def stop_leading(self) -> None:
        """Tell everybody that this broker stops, so that others lead what it leads."""
        if self.news is not None:
            self.news.say_stopping(self.broker_id, self.session)
            self._evaluate_all()

    def _tell_outsiders(self, seats: Iterable[Seat], to_ids: Iterable[int]) -> None:
        """Brokers that do not vote hear from the leader how a partition stands."""
        news = self.news
        if news is None:
            return
        led = [seat.group for seat in seats if self._leads(seat)]
        for broker_id in to_ids:
            if broker_id != self.broker_id:
                told = ((g.base_id, g.state) for g in led if broker_id not in g.state.voters)
                news.tell_states(broker_id, told)

    def tell_outsiders(self, seat: Seat) -> None:
        """A partition that is decided alone here has another state."""
        self._tell_outsiders([seat], self.live)

    def _leads(self, seat: Seat) -> bool:
        return seat.group.state.leader == self.broker_id and seat.group.may_lead

    def _report(self, seats: Iterable[Seat], to_ids: Iterable[int]) -> None:
        """After a restart that was not clean, tell the voters how far the logs here reach."""
        if self.news is None:
            return
        own = self.broker_id, self.incarnation
        reports = reports_to(to_ids, seats, own=own, kept=self.kept_incarnations)
        for (broker_id, has_kept_cache), told in reports.items():
            self.news.report(broker_id, told, has_kept_cache=has_kept_cache)
