"""Which folder of log.dirs a broker keeps a replica in, and asking for another one (KIP-113)."""

import select
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..wire.api_keys import ApiKey
from ..wire.error_codes import ErrorCode
from .admin_client import AdminClient, AdminError

ANY_LOG_DIR = "any"
"""Where a replica may lie in whichever folder its broker chooses."""
_ASK_AGAIN_EVERY_S = 0.1


class Replica(NamedTuple):
    """The copy of one partition on one broker."""

    topic: str
    partition: int
    broker: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}-{self.broker}"


class ReplicaLogDirs(NamedTuple):
    """The folder a replica is in, and the one it is on its way to; None where there is none."""

    current: str | None = None
    future: str | None = None


def find_log_dirs(
    client: AdminClient, replicas: Iterable[Replica]
) -> dict[Replica, ReplicaLogDirs]:
    """Where each of `replicas` is; nowhere, where no live folder of its broker holds it."""
    wanted = set(replicas)
    found = dict.fromkeys(wanted, ReplicaLogDirs())
    for broker in sorted({each.broker for each in wanted}):
        for log_dir in client.log_dirs(broker):
            for topic in log_dir["topics"]:
                for part in topic["partitions"]:
                    replica = Replica(topic["name"], part["partition_index"], broker)
                    if replica not in wanted:
                        continue
                    kind = "future" if part["is_future_key"] else "current"
                    found[replica] = found[replica]._replace(**{kind: log_dir["log_dir"]})
    return found


def alter_log_dirs(client: AdminClient, wanted: Mapping[Replica, str]) -> set[Replica]:
    """Asks each broker to have its replicas in those folders; which of them have begun to move.

    A replica that its broker does not have yet is left out; any other refusal is an AdminError.
    """
    started = set()
    for broker in sorted({replica.broker for replica in wanted}):
        own = {replica: path for replica, path in wanted.items() if replica.broker == broker}
        dirs = [
            {
                "path": path,
                "topics": [
                    {"name": each.topic, "partitions": [each.partition]}
                    for each in sorted(own)
                    if own[each] == path
                ],
            }
            for path in sorted(set(own.values()))
        ]
        answer = client.broker(broker).request(ApiKey.ALTER_REPLICA_LOG_DIRS, {"dirs": dirs})
        for topic in answer["results"]:
            for part in topic["partitions"]:
                replica = Replica(topic["topic_name"], part["partition_index"], broker)
                code = ErrorCode(part["error_code"])
                if code == ErrorCode.NONE:
                    started.add(replica)
                elif code != ErrorCode.REPLICA_NOT_AVAILABLE:
                    raise AdminError(code, f"Failed to alter dir for {replica}")
    return started


def start_moves(
    client: AdminClient,
    wanted: Mapping[Replica, str],
    *,
    timeout_s: float,
    on_started: Callable[[Replica, str], None],
) -> list[Replica]:
    """Asks until every move has begun, or for `timeout_s`; the replicas that did not begin.

    A replica on its way to another broker begins only once that broker has it.
    """
    pending = dict(wanted)
    deadline = time.monotonic() + timeout_s
    while pending:
        for replica in sorted(alter_log_dirs(client, pending)):
            on_started(replica, pending.pop(replica))
        if not pending or time.monotonic() >= deadline:
            break
        # A broker tells nobody when a replica arrives: it has to be asked.
        select.select([], [], [], _ASK_AGAIN_EVERY_S)
    return sorted(pending)
