"""What a partition's controller decides next: a pure function of its state and of who is there.

The Raft leader of a partition's group is its controller.  It proposes at most one command at a
time, each a compare-and-set on partition_epoch, so a decision that was made on an old state does
nothing.  A replica whose log its broker cannot serve (`offline`) is not there.  In this order:

    1  a leader is missing         elect an in-sync replica of this very incarnation, replicas in
                                   their order; a broker that is stopping, or whose disk is full,
                                   only if it leads already, or no other is there
    2  none is there               elect one of the elr, of this very incarnation
    3  nor any of those            of isr and elr members that restarted, the one with the largest
                                   (leader epoch, log end): at once among those that kept their page
                                   cache, else once all of them have reported
    4  none of those is there      where the topic allows to lose records: any replica, one whose
                                   log has lost records itself only where no other is there
    5  a follower restarted or stops, or its log is offline
                                   take it out of the isr; who is gone, the leader asks out.  Out of
                                   the elr too, if it restarted (as in Kafka) or is offline: what it
                                   did not flush may be gone, and it comes back by catching up
    6  a voter lost its log, left the cluster, or one more is to be had: a new generation
    7  a move is wanted            add the new replicas; once they are in sync, drop the old ones;
                                   called off: drop the new ones again
    8  the preferred leader is fit, and it is time to balance: elect it
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from .errors import (
    ElectionNotNeededError,
    EligibleLeadersNotAvailableError,
    PreferredLeaderNotAvailableError,
)
from .leader_contact import is_cut_off
from .partition_state import (
    AlterIsr,
    Elect,
    ElectKind,
    IsrMember,
    PartitionCommand,
    PartitionState,
    Reassign,
)
from .placement import choose_voters


@dataclass(frozen=True, slots=True)
class LiveBroker:
    """A broker whose link is up, and which life of it answers there."""

    broker_id: int
    incarnation: int
    session: int
    wal_id: int = 0


@dataclass(frozen=True, slots=True)
class LogReport:
    """How far a restarted replica's log reaches.

    `has_kept_cache`: its machine did not restart since it was in sync.
    """

    incarnation: int
    leader_epoch: int
    log_end_offset: int
    has_kept_cache: bool

    @property
    def reach(self) -> tuple[int, int]:
        return self.leader_epoch, self.log_end_offset


@dataclass(frozen=True, slots=True)
class ControllerView:
    """What a controller knows besides the state; `registered` None: everybody may vote."""

    live: Mapping[int, LiveBroker]
    stopping: Collection[int] = ()
    offline: Collection[int] = ()
    lost: Collection[int] = ()
    """Those offline whose log has lost records: they lead only where nobody else can."""
    full: Collection[int] = ()
    """Those whose disk has no room: they lead only where nobody else in sync can."""
    reports: Mapping[int, LogReport] = field(default_factory=dict)
    allows_unclean: bool = False
    is_by_hand: bool = False
    """Whether a person asks, who waits for nobody that might come back with more."""
    min_in_sync: int = 0
    """The topic's min.insync.replicas; 0: not known."""
    is_balance_due: bool = False
    target: tuple[int, ...] = ()
    """Who is to hold the partition: where it moves to, else who holds it for the cluster."""
    is_called_off: bool = False
    """Whether `target` is who held the partition before it was to move."""
    registered: Collection[int] | None = None


def next_decision(state: PartitionState, view: ControllerView) -> PartitionCommand | None:
    """The command that the controller should propose now, or None."""
    if not state.replicas:
        return None
    if not is_led(state, view) or state.leader in view.stopping or state.leader in view.full:
        elected = _elect_someone(state, view)
        if elected is not None or not is_led(state, view):
            return elected
    return (
        _drop_followers(state, view)
        or _renew_voters(state, view)
        or _move(state, view)
        or _prefer(state, view)
    )


def election_by_hand(
    state: PartitionState, view: ControllerView, *, is_unclean: bool
) -> PartitionCommand | None:
    """The election that a person asks for: of the preferred leader, or of whoever is there.

    None where that one is not fit; see `is_needed_by_hand` first.
    """
    if is_unclean:
        return _elect_someone(state, replace(view, allows_unclean=True, is_by_hand=True))
    return _prefer(state, replace(view, is_balance_due=True))


def decide_by_hand(
    state: PartitionState, view: ControllerView, *, is_unclean: bool, name: str
) -> PartitionCommand:
    """As `election_by_hand` for the partition called `name`.

    Raises ElectionNotNeededError, EligibleLeadersNotAvailableError,
    PreferredLeaderNotAvailableError.
    """
    is_needed = is_needed_by_hand(state, view, is_unclean=is_unclean)
    if not is_needed and not is_cut_off(state, view.live):
        raise ElectionNotNeededError(f"{name} is led as it should be")
    refusal = EligibleLeadersNotAvailableError if is_unclean else PreferredLeaderNotAvailableError
    up = [voter for voter in state.voters if voter in view.live]
    if 2 * len(up) <= len(state.voters):
        raise refusal(
            f"nothing is decided about {name} without a majority of its voters "
            f"{_ids(state.voters)}: up {'is' if len(up) == 1 else 'are'} {_ids(up)}"
        )
    command = election_by_hand(state, view, is_unclean=is_unclean)
    if command is not None:
        return command
    if is_unclean:
        raise refusal(f"no replica of {name} is up")
    raise refusal(f"broker {state.replicas[0]} is down, or not in sync with {name}")


def _ids(brokers: Collection[int]) -> str:
    return ",".join(map(str, brokers)) or "none"


def is_needed_by_hand(state: PartitionState, view: ControllerView, *, is_unclean: bool) -> bool:
    """Whether the election would change anything."""
    if not is_led(state, view):
        return True
    return not is_unclean and state.leader != state.replicas[0]


def is_led(state: PartitionState, view: ControllerView) -> bool:
    """Whether the process that was elected is still there, and can serve its log."""
    broker = view.live.get(state.leader)
    if broker is None or state.leader in view.offline:
        return False
    return broker.session == state.leader_session


def has_moved(state: PartitionState, view: ControllerView, assignment: tuple[int, ...]) -> bool:
    """Whether the partition has moved away from where the cluster takes it to be (`assignment`).

    It has where the target's brokers, and no others, hold it, all of them in sync: those of a move
    that is called off are as much in sync as they were before.  And where one of the assignment
    holds it no more, wherever the target is by now: only the last step of a move drops anyone.
    """
    if not state.replicas:
        return False
    if not set(assignment).issubset(state.replicas):
        return True
    in_sync = {member[0] for member in state.isr}
    return state.replicas == view.target and (view.is_called_off or in_sync.issuperset(view.target))


def _is_there(member: IsrMember, view: ControllerView) -> bool:
    broker = view.live.get(member[0])
    return broker is not None and broker.incarnation == member[1] and member[0] not in view.offline


def _is_in_sync(state: PartitionState, broker: LiveBroker) -> bool:
    return (broker.broker_id, broker.incarnation) in state.isr


def _elect(
    state: PartitionState,
    view: ControllerView,
    broker: LiveBroker,
    kind: ElectKind = ElectKind.CLEAN,
    epoch: int = 0,
) -> Elect:
    lost = [m[0] for m in state.isr if m[0] in view.stopping or not _is_there(m, view)]
    if state.leader in view.full:
        lost.append(state.leader)  # it cannot store what comes next, so nobody is to wait for it
    return Elect(
        expected_partition_epoch=state.partition_epoch,
        leader=broker.broker_id,
        incarnation=broker.incarnation,
        kind=kind,
        min_leader_epoch=epoch,
        session=broker.session,
        lost=tuple(lost) if kind == ElectKind.CLEAN else (),
        min_in_sync=view.min_in_sync,
        unfit=_unfit(state, view),
    )


def _unfit(state: PartitionState, view: ControllerView) -> tuple[int, ...]:
    """Who may have lost records since it was in sync, where that matters to the elr."""
    if view.min_in_sync < 2 and not state.elr:
        return ()
    return tuple(
        broker_id
        for broker_id, incarnation in state.holders
        if broker_id in view.offline
        or (broker_id in view.live and view.live[broker_id].incarnation != incarnation)
    )


def _elect_someone(state: PartitionState, view: ControllerView) -> Elect | None:
    present = [
        view.live[broker_id]
        for broker_id in state.replicas
        if broker_id in view.live and broker_id not in view.offline
    ]
    fit = [broker for broker in present if _is_in_sync(state, broker)]
    leaving = {*view.stopping, *view.full}
    staying = [broker for broker in fit if broker.broker_id not in leaving]
    if staying:
        return _elect(state, view, staying[0])
    if is_led(state, view):
        return None
    eligible = fit or [each for each in present if (each.broker_id, each.incarnation) in state.elr]
    if eligible:
        return _elect(state, view, eligible[0])
    return _elect_restarted(state, view) or _elect_unclean(state, view, present)


def _elect_restarted(state: PartitionState, view: ControllerView) -> Elect | None:
    held_all = {member[0] for member in state.holders}
    reported = {
        broker_id: view.reports[broker_id]
        for broker_id in held_all
        if broker_id in view.live
        and broker_id not in view.offline
        and broker_id in view.reports
        and view.reports[broker_id].incarnation == view.live[broker_id].incarnation
    }
    kept = [broker_id for broker_id, report in reported.items() if report.has_kept_cache]
    candidates = kept if kept or len(reported) < len(held_all) else list(reported)
    if not candidates:
        return None
    best = max(candidates, key=lambda broker_id: (*reported[broker_id].reach, -broker_id))
    return _elect(
        state, view, view.live[best], ElectKind.RESTARTED, reported[best].leader_epoch + 1
    )


def _elect_unclean(
    state: PartitionState, view: ControllerView, present: list[LiveBroker]
) -> Elect | None:
    in_sync = {member[0] for member in state.isr}
    is_awaited = any(broker.broker_id in in_sync for broker in present) and not view.is_by_hand
    if not view.allows_unclean or is_awaited:
        return None
    if not present:
        return _elect_lost(state, view)
    reported = [broker for broker in present if broker.broker_id in view.reports]
    if not reported:
        return _elect(state, view, present[0], ElectKind.UNCLEAN)
    best = max(reported, key=lambda broker: view.reports[broker.broker_id].reach)
    return _elect(
        state, view, best, ElectKind.UNCLEAN, view.reports[best.broker_id].leader_epoch + 1
    )


def _elect_lost(state: PartitionState, view: ControllerView) -> Elect | None:
    """Every log that is there has lost records: go on with one of them, once."""
    lost = [view.live[each] for each in state.replicas if each in view.live and each in view.lost]
    chosen = (state.leader, state.leader_session)
    is_chosen = any((each.broker_id, each.session) == chosen for each in lost)
    if not lost or (is_chosen and state.is_recovering):
        return None
    return _elect(state, view, lost[0], ElectKind.UNCLEAN)


def _drop_followers(state: PartitionState, view: ControllerView) -> AlterIsr | None:
    kept = tuple(member for member in state.isr if not _is_lost(member, state, view))
    unfit = _unfit(state, view)
    has_unfit = any(member[0] in unfit for member in state.elr)
    if kept == state.isr and not has_unfit:
        return None
    if not any(member[0] == state.leader for member in kept):
        return None
    epochs = state.partition_epoch, state.leader_epoch
    return AlterIsr(*epochs, kept, view.min_in_sync, unfit)


def _is_lost(member: IsrMember, state: PartitionState, view: ControllerView) -> bool:
    broker_id, incarnation = member
    if broker_id == state.leader:
        return False
    if broker_id in view.stopping or broker_id in view.offline:
        return True
    broker = view.live.get(broker_id)
    return broker is not None and broker.incarnation != incarnation


def _renew_voters(state: PartitionState, view: ControllerView) -> Reassign | None:
    """A new generation where a voter lost its log, left the cluster, or one more is to be had."""
    known = dict(zip(state.voters, state.wal_ids, strict=False))
    has_lost = any(
        broker_id in view.live and view.live[broker_id].wal_id not in (0, wal_id)
        for broker_id, wal_id in known.items()
    )
    voters = state.voters
    candidates = [broker_id for broker_id in view.live if _is_registered(broker_id, view)]
    wanted = choose_voters(state.replicas, {*state.replicas, *candidates})
    has_left = any(not _is_registered(broker_id, view) for broker_id in voters)
    if (has_left or len(wanted) > len(voters)) and all(v in view.live for v in wanted):
        return _reassign(state, view, state.replicas)
    if not has_lost:
        return None
    wal_ids = tuple(
        view.live[broker_id].wal_id if broker_id in view.live else known[broker_id]
        for broker_id in known
    )
    return Reassign(state.partition_epoch, state.replicas, voters, wal_ids)


def _is_registered(broker_id: int, view: ControllerView) -> bool:
    return view.registered is None or broker_id in view.registered


def _move(state: PartitionState, view: ControllerView) -> Reassign | None:
    """The next step of a move; a step waits until the voters that it adds are there.

    Those of a move that is called off need not all be in sync: they were not asked to be before.
    """
    target = view.target
    if not target or state.replicas == target:
        return None
    in_sync = {member[0] for member in state.isr}
    missing = [broker_id for broker_id in target if broker_id not in state.replicas]
    leaving = tuple(broker_id for broker_id in state.replicas if broker_id not in target)
    can_do = in_sync.issuperset(target) or (view.is_called_off and in_sync.intersection(target))
    if not missing and can_do:
        return _reassign(state, view, target)
    if missing and all(broker_id in view.live for broker_id in missing):
        return _reassign(state, view, (*target, *leaving))
    return None


def _reassign(state: PartitionState, view: ControllerView, replicas: tuple[int, ...]) -> Reassign:
    known = dict(zip(state.voters, state.wal_ids, strict=False))
    candidates = [broker_id for broker_id in view.live if _is_registered(broker_id, view)]
    voters = choose_voters(replicas, {*replicas, *candidates})
    wal_ids = tuple(
        view.live[broker_id].wal_id if broker_id in view.live else known.get(broker_id, 0)
        for broker_id in voters
    )
    return Reassign(state.partition_epoch, replicas, voters, wal_ids)


def _prefer(state: PartitionState, view: ControllerView) -> Elect | None:
    preferred = view.live.get(state.replicas[0])
    if not view.is_balance_due or preferred is None or preferred.broker_id == state.leader:
        return None
    is_unfit = preferred.broker_id in {*view.stopping, *view.offline, *view.full}
    if is_unfit or not _is_in_sync(state, preferred):
        return None
    return _elect(state, view, preferred)
