"""An election that a person orders: the preferred leader, or any replica.  Pure."""

from collections.abc import Mapping

from .errors import (
    ElectionNotNeededError,
    EligibleLeadersNotAvailableError,
    PreferredLeaderNotAvailableError,
)
from .partition_controller import LiveBroker
from .partition_state import Elect, ElectKind, PartitionState


def preferred_election(name: str, state: PartitionState, live: Mapping[int, LiveBroker]) -> Elect:
    """The first replica shall lead.  Raises ElectionNotNeededError where it does,
    PreferredLeaderNotAvailableError where it is down or out of sync."""
    preferred = state.replicas[0]
    broker = live.get(preferred)
    if broker is None or (preferred, broker.incarnation) not in state.isr:
        raise PreferredLeaderNotAvailableError(
            f"broker {preferred}, preferred for {name}, is down or not in sync"
        )
    if _is_led_by(state, broker):
        raise ElectionNotNeededError(f"broker {preferred} leads {name} already")
    return _elect(state, broker, ElectKind.CLEAN)


def unclean_election(name: str, state: PartitionState, live: Mapping[int, LiveBroker]) -> Elect:
    """Somebody shall lead, in sync or not.  Raises ElectionNotNeededError where somebody does,
    EligibleLeadersNotAvailableError where no replica is up."""
    present = [live[each] for each in state.replicas if each in live]
    if any(_is_led_by(state, broker) for broker in present):
        raise ElectionNotNeededError(f"broker {state.leader} leads {name}")
    in_sync = [each for each in present if (each.broker_id, each.incarnation) in state.isr]
    if in_sync:
        return _elect(state, in_sync[0], ElectKind.CLEAN)
    if not present:
        raise EligibleLeadersNotAvailableError(f"no replica of {name} is up")
    return _elect(state, present[0], ElectKind.UNCLEAN)


def _is_led_by(state: PartitionState, broker: LiveBroker) -> bool:
    return (state.leader, state.leader_session) == (broker.broker_id, broker.session)


def _elect(state: PartitionState, broker: LiveBroker, kind: ElectKind) -> Elect:
    return Elect(
        expected_partition_epoch=state.partition_epoch,
        leader=broker.broker_id,
        incarnation=broker.incarnation,
        kind=kind,
        session=broker.session,
    )
