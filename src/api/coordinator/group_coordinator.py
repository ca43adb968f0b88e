"""`GroupCoordinator`: classic consumer groups and committed offsets of this broker.

    handler -> GroupCoordinator -> Membership, Rebalances   who is in, which generation
                                -> GroupOffsets             where each partition goes on
                                -> OffsetsTopic             the log which both are read back from

Answers come as return values, as GroupErrors raised, or through a callback where a group or
the log has to be waited for.  What is deleted goes from memory with its tombstone's append;
what is stored appears once it passed the high watermark.  Loop thread only.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from ...core.clock import Clock
from .errors import (
    CoordinatorLoadInProgressError,
    GroupError,
    GroupIdNotFoundError,
    GroupRecordTooLargeError,
    GroupStoreTimeoutError,
    GroupSubscribedToTopicError,
    IllegalGenerationError,
    InvalidCommitOffsetSizeError,
    InvalidGroupIdError,
    NonEmptyGroupError,
    NotCoordinatorError,
    OffsetMetadataTooLargeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from .group import Group, OnJoined, OnSynced
from .group_records import StoredRecord, group_record, group_tombstone, offset_record
from .group_settings import GroupSettings
from .group_state import GroupState
from .group_table import GroupTable
from .membership import JoinRequest, Membership, SyncRequest
from .offset_store import CommittedOffset, TopicPartition
from .offsets_topic import OFFSETS_TOPIC, OffsetsPartition, OffsetsTopic, PartitionSource
from .rebalance import OnStored, Schedule

logger = logging.getLogger(__name__)

_RECORDS_PER_BATCH = 1_000
_MINUTE_MS = 60_000

OnCommitted = Callable[[Mapping[TopicPartition, GroupError]], None]


class GroupCoordinator:
    """What a broker answers about groups; `create_offsets_topic` makes __consumer_offsets."""

    def __init__(
        self,
        *,
        replicas: PartitionSource,
        clock: Clock,
        schedule: Schedule,
        settings: GroupSettings,
        create_offsets_topic: Callable[[], Awaitable[object]],
        offsets_partition_count: Callable[[], int],
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._schedule = schedule
        self._create_offsets_topic = create_offsets_topic
        self._offsets_partition_count = offsets_partition_count
        self._log = OffsetsTopic(
            replicas=replicas,
            clock=clock,
            schedule=schedule,
            commit_timeout_ms=settings.offsets_commit_timeout_ms,
        )
        self._membership = Membership(
            clock=clock, schedule=schedule, settings=settings, store_group=self._store_group
        )
        self._table = GroupTable(
            clock=clock,
            schedule=schedule,
            partition_count=offsets_partition_count,
            on_loaded=self._resume_group,
        )

    # -- partitions of __consumer_offsets -------------------------------------------------

    @property
    def is_hosted(self) -> bool:
        """Whether __consumer_offsets exists."""
        return self._offsets_partition_count() > 0

    def partition_index(self, group_id: str) -> int:
        """Which partition of __consumer_offsets holds the group; its leader coordinates it."""
        return self._table.partition_index(group_id)

    async def ensure_offsets_topic(self) -> None:
        """Create __consumer_offsets at its first use."""
        if not self.is_hosted:
            await self._create_offsets_topic()

    def on_partition_online(self, partition: OffsetsPartition) -> None:
        """This broker leads `partition` now; only those of __consumer_offsets matter."""
        if partition.topic == OFFSETS_TOPIC:
            self._table.load_partition(partition)

    def on_partition_offline(self, partition: OffsetsPartition) -> None:
        """`partition` is gone from this broker: its groups look for their coordinator anew."""
        if partition.topic != OFFSETS_TOPIC:
            return
        moved = NotCoordinatorError(f"{OFFSETS_TOPIC}-{partition.index} left this broker")
        for group in self._table.unload_partition(partition.index):
            self._membership.dismiss_members(group, moved)

    def on_topic_deleted(self, topic: str) -> None:
        """A deleted topic takes its committed offsets along."""
        for group in self._table.all_groups():
            self._forget_offsets(group, group.offsets.keys_of_topic(topic))

    def close(self) -> None:
        """Send waiting members away and stop every timer; what is stored stays."""
        closing = NotCoordinatorError("this broker shuts down")
        for group in self._table.all_groups():
            self._membership.dismiss_members(group, closing)

    def _resume_group(self, group: Group) -> None:
        self._membership.resume_sessions(group)

    # -- membership -----------------------------------------------------------------------

    def join_group(self, group_id: str, request: JoinRequest, on_joined: OnJoined) -> None:
        """JoinGroup; `on_joined` is called when the member's rebalance is over."""
        _check_group_id(group_id)
        self._membership.check_session_timeout(request.session_timeout_ms)
        if request.member_id:
            group = self._members_group(group_id)
        else:
            group = self._table.get_or_create(group_id)
        self._membership.join_group(group, request, on_joined)

    def sync_group(self, group_id: str, request: SyncRequest, on_synced: OnSynced) -> None:
        """SyncGroup; `on_synced` is called when the leader's assignment is stored.

        As in Kafka a member is sent back to join while the group is loading: what was being agreed
        on is lost, and old clients know no other answer.
        """
        _check_group_id(group_id)
        try:
            group = self._members_group(group_id)
        except CoordinatorLoadInProgressError as error:
            raise RebalanceInProgressError(str(error)) from error
        self._membership.sync_group(group, request, on_synced)

    def heartbeat(
        self, group_id: str, *, member_id: str, group_instance_id: str | None, generation_id: int
    ) -> None:
        """Heartbeat: returns for "go on", raises for everything else.

        While the group is loading the answer is "go on", as in Kafka: it may well be a member, and
        aiokafka ends for good where it is told anything else that asks for patience.
        """
        _check_group_id(group_id)
        try:
            group = self._members_group(group_id)
        except CoordinatorLoadInProgressError:
            return
        self._membership.heartbeat(
            group,
            member_id=member_id,
            group_instance_id=group_instance_id,
            generation_id=generation_id,
        )

    def leave_group(
        self, group_id: str, leaving: list[tuple[str, str | None]]
    ) -> list[GroupError | None]:
        """LeaveGroup for (member id, instance id) each; an unknown group knows none of them."""
        _check_group_id(group_id)
        group = self._table.get(group_id)
        if group is None:
            return [UnknownMemberIdError(f"there is no group {group_id}") for _ in leaving]
        return self._membership.leave_group(group, leaving)

    def _members_group(self, group_id: str) -> Group:
        group = self._table.get(group_id)
        if group is None:
            raise UnknownMemberIdError(f"there is no group {group_id}")
        return group

    def _store_group(
        self, group: Group, assignment: Mapping[str, bytes], on_stored: OnStored
    ) -> None:
        record = group_record(group, assignment)
        self._log.append_records(group.partition_index, [record], on_stored)

    # -- offsets --------------------------------------------------------------------------

    def commit_offsets(
        self,
        group_id: str,
        *,
        member_id: str,
        group_instance_id: str | None,
        generation_id: int,
        offsets: Mapping[TopicPartition, CommittedOffset],
        on_committed: OnCommitted,
        unknown_group_is_not_found: bool = False,
    ) -> None:
        """Store `offsets`; `on_committed` is told which of them failed, once the rest is safe.

        Raises what fences the whole request.  `unknown_group_is_not_found` is for v9+.
        """
        group = self._table.get(group_id)
        if group is None:
            if generation_id >= 0:
                if unknown_group_is_not_found:
                    raise GroupIdNotFoundError(f"Group {group_id} not found.")
                raise IllegalGenerationError(f"there is no group {group_id}")
            group = self._table.get_or_create(group_id)
        self._membership.validate_commit(
            group,
            member_id=member_id,
            group_instance_id=group_instance_id,
            generation_id=generation_id,
        )
        errors: dict[TopicPartition, GroupError] = {}
        accepted = {k: v for k, v in offsets.items() if self._accepts_metadata(k, v, errors)}
        if not accepted:
            on_committed(errors)
            return
        self._append_commit(group, accepted, errors, on_committed)

    def _append_commit(
        self,
        group: Group,
        accepted: Mapping[TopicPartition, CommittedOffset],
        errors: dict[TopicPartition, GroupError],
        on_committed: OnCommitted,
    ) -> None:
        def on_settled(error: GroupError | None) -> None:
            group.offsets.finish_commit(accepted, is_stored=error is None)

        def on_appended(error: GroupError | None) -> None:
            # What timed out may still be stored: it stays pending until that is known.
            if not isinstance(error, GroupStoreTimeoutError):
                on_settled(error)
            if error is not None:
                if isinstance(error, GroupRecordTooLargeError):
                    error = InvalidCommitOffsetSizeError(str(error))
                errors.update(dict.fromkeys(accepted, error))
            on_committed(errors)

        group.offsets.begin_commit(accepted)
        records = [offset_record(group.group_id, t, p, c) for (t, p), c in accepted.items()]
        self._log.append_records(group.partition_index, records, on_appended, on_late=on_settled)

    def _accepts_metadata(
        self,
        key: TopicPartition,
        committed: CommittedOffset,
        errors: dict[TopicPartition, GroupError],
    ) -> bool:
        limit = self.settings.offset_metadata_max_bytes
        if len(committed.metadata) <= limit:
            return True
        errors[key] = OffsetMetadataTooLargeError(
            f"{len(committed.metadata)} characters of metadata; offset.metadata.max.bytes={limit}"
        )
        return False

    def fetch_offsets(self, group_id: str) -> Mapping[TopicPartition, CommittedOffset]:
        """All committed offsets of a group; none for a group that does not exist."""
        group = self._table.get(group_id)
        return {} if group is None else group.offsets.committed

    def delete_offsets(
        self, group_id: str, keys: Iterable[TopicPartition]
    ) -> dict[TopicPartition, GroupError]:
        """OffsetDelete: drop the offsets of `keys`, unless the group consumes their topics."""
        group = self._table.get(group_id)
        if group is None:
            raise GroupIdNotFoundError(f"Group {group_id} not found.")
        if group.members and not group.is_consumer_group:
            raise NonEmptyGroupError(f"group {group_id} has {len(group.members)} members")
        errors: dict[TopicPartition, GroupError] = {}
        deleted: list[TopicPartition] = []
        for key in keys:
            if group.members and group.is_subscribed_to(key[0]):
                errors[key] = GroupSubscribedToTopicError(f"{group_id} consumes {key[0]}")
            else:
                deleted.append(key)
        self._forget_offsets(group, deleted)
        return errors

    def expire_offsets(self, now_ms: int) -> None:
        """Drop what is older than offsets.retention.minutes (KIP-211), and groups left bare."""
        expired_count = 0
        for group in self._table.all_groups():
            expired = self._expired_keys(group, now_ms)
            expired_count += len(expired)
            self._forget_offsets(group, expired)
            if group.state is GroupState.EMPTY and not group.offsets and not group.pending_members:
                self._remove_group(group)
        if expired_count:
            logger.info("%d committed offsets expired (offsets.retention.minutes)", expired_count)

    def _expired_keys(self, group: Group, now_ms: int) -> list[TopicPartition]:
        since_ms = None
        is_spared: Callable[[str], bool] = _never
        if group.state is GroupState.EMPTY:
            if group.protocol_type is not None:
                since_ms = group.states.entered_at_ms
        elif group.state is GroupState.STABLE and group.is_consumer_group:
            is_spared = group.is_subscribed_to
        else:
            return []
        return list(
            group.offsets.expired_keys(
                now_ms=now_ms,
                retention_ms=self.settings.offsets_retention_minutes * _MINUTE_MS,
                since_ms=since_ms,
                is_spared=is_spared,
            )
        )

    # -- administration -------------------------------------------------------------------

    @property
    def is_loading(self) -> bool:
        """Whether some groups are not known yet."""
        return self._table.is_loading

    def groups(self) -> list[Group]:
        """Every group, to be read only."""
        return self._table.all_groups()

    def describe_group(self, group_id: str) -> Group:
        """One group, to be read only; raises GroupIdNotFoundError."""
        group = self._table.get(group_id)
        if group is None or group.state is GroupState.DEAD:
            raise GroupIdNotFoundError(f"Group {group_id} not found.")
        return group

    def delete_group(self, group_id: str) -> None:
        """DeleteGroups: an empty group and its offsets go."""
        group = self.describe_group(group_id)
        if group.state is not GroupState.EMPTY:
            raise NonEmptyGroupError(f"group {group_id} is {group.state}; stop its members first")
        self._remove_group(group)

    def force_rebalance(self, group_id: str) -> None:
        """Have all members join anew; raises GroupIdNotFoundError."""
        self._membership.rebalances.prepare_or_complete(self.describe_group(group_id))

    def _remove_group(self, group: Group) -> None:
        self._forget_offsets(group, [*group.offsets.all_keys()])
        self._append_tombstones(group, [group_tombstone(group.group_id)])
        for timer in group.pending_members.values():
            timer.cancel()
        self._table.remove(group)

    def _forget_offsets(self, group: Group, keys: Iterable[TopicPartition]) -> None:
        records = [
            offset_record(group.group_id, topic, partition, None)
            for topic, partition in keys
            if group.offsets.forget((topic, partition))
        ]
        for start in range(0, len(records), _RECORDS_PER_BATCH):
            self._append_tombstones(group, records[start : start + _RECORDS_PER_BATCH])

    def _append_tombstones(self, group: Group, records: list[StoredRecord]) -> None:
        def on_appended(error: GroupError | None) -> None:
            if error is not None:
                logger.warning("group %s: a deletion is not stored: %s", group.group_id, error)

        self._log.append_records(group.partition_index, records, on_appended)


def _check_group_id(group_id: str) -> None:
    if not group_id:
        raise InvalidGroupIdError("group.id is empty")


def _never(_topic: str) -> bool:
    return False
