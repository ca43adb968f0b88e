"""What the group coordinator refuses, named as Kafka names it; the facts are fields."""

from ...core.errors import HeadraceError


class GroupError(HeadraceError):
    """The root of what the group coordinator answers with."""


class InvalidGroupIdError(GroupError):
    """An empty group id where a group must be named (INVALID_GROUP_ID)."""


class UnknownMemberIdError(GroupError):
    """The group has no such member: rejoin with an empty id (UNKNOWN_MEMBER_ID)."""


class IllegalGenerationError(GroupError):
    """A generation that is not the group's (ILLEGAL_GENERATION)."""


class RebalanceInProgressError(GroupError):
    """The group is between two assignments: rejoin (REBALANCE_IN_PROGRESS)."""


class InconsistentGroupProtocolError(GroupError):
    """A protocol type or list that the members do not share (INCONSISTENT_GROUP_PROTOCOL)."""


class InvalidSessionTimeoutError(GroupError):
    """A session timeout outside group.min/max.session.timeout.ms (INVALID_SESSION_TIMEOUT)."""

    def __init__(self, session_timeout_ms: int, lowest_ms: int, highest_ms: int) -> None:
        super().__init__(
            f"session.timeout.ms={session_timeout_ms} is outside group.min.session.timeout.ms="
            f"{lowest_ms} to group.max.session.timeout.ms={highest_ms}"
        )
        self.session_timeout_ms = session_timeout_ms


class MemberIdRequiredError(GroupError):
    """KIP-394: rejoin with `member_id`, which was made for you (MEMBER_ID_REQUIRED)."""

    def __init__(self, member_id: str) -> None:
        super().__init__(f"join again as member {member_id}")
        self.member_id = member_id


class GroupMaxSizeReachedError(GroupError):
    """group.max.size members are in the group already (GROUP_MAX_SIZE_REACHED)."""


class FencedInstanceIdError(GroupError):
    """Another member took over this group.instance.id (FENCED_INSTANCE_ID)."""


class CoordinatorLoadInProgressError(GroupError):
    """The group's partition of __consumer_offsets is still read (COORDINATOR_LOAD_IN_PROGRESS)."""


class CoordinatorNotAvailableError(GroupError):
    """The group is going away, or its log has too few replicas (COORDINATOR_NOT_AVAILABLE)."""


class GroupStoreTimeoutError(CoordinatorNotAvailableError):
    """Not replicated within offsets.commit.timeout.ms, but it may still be."""


class NotCoordinatorError(GroupError):
    """This broker does not hold the group's partition of __consumer_offsets (NOT_COORDINATOR)."""


class GroupIdNotFoundError(GroupError):
    """No such group (GROUP_ID_NOT_FOUND)."""


class NonEmptyGroupError(GroupError):
    """The group has members (NON_EMPTY_GROUP)."""


class GroupSubscribedToTopicError(GroupError):
    """The group consumes the topic whose offset is to be deleted (GROUP_SUBSCRIBED_TO_TOPIC)."""


class OffsetMetadataTooLargeError(GroupError):
    """Commit metadata above offset.metadata.max.bytes (OFFSET_METADATA_TOO_LARGE)."""


class InvalidCommitOffsetSizeError(GroupError):
    """A commit too large for one batch of __consumer_offsets (INVALID_COMMIT_OFFSET_SIZE)."""


class GroupRecordTooLargeError(GroupError):
    """Group metadata above max.message.bytes of __consumer_offsets (UNKNOWN_SERVER_ERROR)."""


class GroupStoreError(GroupError):
    """__consumer_offsets could not be written for an unforeseen reason (UNKNOWN_SERVER_ERROR)."""
