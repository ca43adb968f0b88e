"""What kafka-reassign-partitions.sh does and says of replicas that go to another log directory."""

from collections.abc import Iterable, Mapping

from ....core.errors import HeadraceError
from ..admin_client import AdminClient, AdminError
from ..cluster_admin import Place, live_brokers
from ..replica_log_dirs import Replica, ReplicaLogDirs, find_log_dirs, start_moves


class MovesTimedOutError(HeadraceError):
    """Some moves could not begin in the time that was given for it."""


def current_log_dirs(
    client: AdminClient, assignment: Mapping[Place, Iterable[int]]
) -> dict[Replica, str]:
    """The folders of all replicas whose brokers are up, where they have one."""
    up = live_brokers(client)
    replicas = [
        Replica(*place, broker)
        for place, brokers in assignment.items()
        for broker in brokers
        if broker in up
    ]
    found = find_log_dirs(client, replicas)
    return {replica: at.current for replica, at in found.items() if at.current is not None}


def execute_moves(client: AdminClient, wanted: Mapping[Replica, str], timeout_ms: int) -> None:
    """Starts moves and says so; MovesTimedOutError for those that could not begin."""
    try:
        pending = start_moves(client, wanted, timeout_s=timeout_ms / 1000, on_started=_say_started)
    except AdminError as error:
        raise HeadraceError(error.subject) from error
    if pending:
        raise MovesTimedOutError(
            f"Timed out before log directory move{'s' if len(pending) > 1 else ''} could be "
            f"started for: {','.join(map(str, pending))}"
        )


def _say_started(replica: Replica, path: str) -> None:
    print(
        f"Successfully started moving log directory to {path} for replica "
        f"{replica.topic}-{replica.partition} with broker {replica.broker} "
    )


def active_moves(client: AdminClient, wanted: Iterable[Replica]) -> dict[Replica, str]:
    """Which of these are on their way somewhere, and the folders they are still in."""
    found = find_log_dirs(client, wanted)
    return {
        replica: at.current
        for replica, at in found.items()
        if at.current is not None and at.future is not None
    }


def verify_moves(client: AdminClient, wanted: Mapping[Replica, str]) -> bool:
    """Prints the state of each move, or an empty line; whether any has yet to end."""
    found = find_log_dirs(client, wanted)
    print("\n".join(_state(each, found[each], wanted[each]) for each in sorted(wanted)))
    return any(at.current is None or at.future is not None for at in found.values())


def _state(replica: Replica, at: ReplicaLogDirs, target: str) -> str:
    name = f"Partition {replica.topic}-{replica.partition}"
    if at.current is None:
        return (
            f"{name} is not found in any live log dir on broker {replica.broker}. There is likely "
            "an offline log directory on the broker."
        )
    if at.future == target:
        return f"Reassignment of replica {replica} is still in progress."
    if at.future is not None:
        return (
            f"{name} on broker {replica.broker} is being moved to log dir {at.future} instead of "
            f"{target}."
        )
    if at.current == target:
        return f"Reassignment of replica {replica} completed successfully."
    return (
        f"{name} on broker {replica.broker} is not being moved from log dir {at.current} to "
        f"{target}."
    )
