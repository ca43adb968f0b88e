"""The group that agrees on the cluster's state; whoever leads it is the Controller.

A decision goes propose -> journal -> apply, and its outcome comes by callback.  With one voter the
three happen at once; with more the journal is a quorum's.  Callers must be right in both cases.
"""

from collections.abc import Callable
from typing import Any

from .cluster_commands import (
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    decode_command,
    encode_command,
)
from .cluster_state import ClusterState
from .errors import ClusterStateError
from .raft_wal import GroupImage, RaftWal

CLUSTER_GROUP_ID = "cluster"
FIRST_TERM = 1

# Journal bytes that a new partition takes at most: its share of the command, forming its group,
# its first election, and forgetting it.
_PARTITION_BYTES = 768

OnApplied = Callable[[Command, Any], None]
OnDone = Callable[[Any], None]


class ClusterGroup:
    """The cluster's state on this broker, and the way to change it.  Loop thread only."""

    def __init__(
        self, wal: RaftWal, *, broker_id: int, on_applied: OnApplied | None = None
    ) -> None:
        self.broker_id = broker_id
        self._wal = wal
        self._listeners: list[OnApplied] = [] if on_applied is None else [on_applied]
        image = wal.attach_group(CLUSTER_GROUP_ID, self._take_image)
        self.state = ClusterState.from_bytes(image.snapshot) if image.snapshot else ClusterState()
        self._last_index = image.last_index
        self._term = max(image.last_term, FIRST_TERM)
        for _, _, payload in image.entries:
            self._apply(decode_command(payload))

    @property
    def controller_id(self) -> int:
        """The broker that leads this group: with one voter, this one."""
        return self.broker_id

    def add_listener(self, on_applied: OnApplied) -> None:
        """Call `on_applied(command, result)` for every command that is carried out from now on."""
        self._listeners.append(on_applied)

    def propose(self, command: Command, on_done: OnDone | None = None) -> None:
        """Have `command` journaled and applied; `on_done` gets its result or a ClusterStateError.

        Raises KafkaStorageError if the journal cannot be written: then nothing was decided.
        """
        index = self._last_index + 1
        if isinstance(command, CreateTopic | CreatePartitions):
            # Else a full disk could leave a topic whose partitions nobody may lead.
            self._wal.reserve_room(len(command.assignments) * _PARTITION_BYTES)
        self._wal.append_entries(
            [(CLUSTER_GROUP_ID, index, self._term, encode_command(command))],
            makes_room=isinstance(command, DeleteTopic),
        )
        self._last_index = index
        result = self._apply(command)
        if not isinstance(result, ClusterStateError):
            for listener in self._listeners:
                listener(command, result)
        if on_done is not None:
            on_done(result)

    def _apply(self, command: Command) -> Any:
        try:
            return self.state.apply(command)
        except ClusterStateError as refusal:
            return refusal

    def _take_image(self) -> GroupImage:
        return GroupImage(self._last_index, self._term, self.state.to_bytes())
