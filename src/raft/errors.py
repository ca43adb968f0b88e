"""What can go wrong in agreement and replication; named as Kafka names it."""

from pathlib import Path

from ..core.errors import HeadraceError


class ReplicationError(HeadraceError):
    """The root of this floor's errors."""


class NotLeaderOrFollowerError(ReplicationError):
    """This broker does not lead the partition (NOT_LEADER_OR_FOLLOWER)."""


class ReplicaNotAvailableError(ReplicationError):
    """This broker has no copy of the partition (yet)."""


class FencedLeaderEpochError(ReplicationError):
    """The request's leader epoch is older than ours (FENCED_LEADER_EPOCH)."""


class UnknownLeaderEpochError(ReplicationError):
    """The request's leader epoch is newer than ours (UNKNOWN_LEADER_EPOCH)."""


class NotEnoughReplicasError(ReplicationError):
    """Fewer in-sync replicas than min.insync.replicas (NOT_ENOUGH_REPLICAS)."""


class NotEnoughReplicasAfterAppendError(ReplicationError):
    """Appended, but the isr fell below min.insync.replicas (NOT_ENOUGH_REPLICAS_AFTER_APPEND)."""


class OffsetNotAvailableError(ReplicationError):
    """A new leader does not know yet what is committed (OFFSET_NOT_AVAILABLE)."""


class StaleBrokerEpochError(ReplicationError):
    """A broker that is not live in the incarnation it names (STALE_BROKER_EPOCH)."""


class FetchSessionIdNotFoundError(ReplicationError):
    """The fetch session is not there (FETCH_SESSION_ID_NOT_FOUND)."""


class InvalidFetchSessionEpochError(ReplicationError):
    """A request of a fetch session was lost or came twice (INVALID_FETCH_SESSION_EPOCH)."""


class FetchSessionTopicIdError(ReplicationError):
    """A fetch session changed between names and topic ids (FETCH_SESSION_TOPIC_ID_ERROR)."""


class InvalidRequiredAcksError(ReplicationError):
    """acks is none of -1, 0, 1 (INVALID_REQUIRED_ACKS)."""


class ClusterStateError(ReplicationError):
    """A command that the cluster's state refuses; a deterministic result, never a crash."""


class UnknownTopicOrPartitionError(ClusterStateError):
    """No such topic or partition (UNKNOWN_TOPIC_OR_PARTITION).

    `partition` is None where the topic as a whole is not there.
    """

    def __init__(
        self, message: str, topic: str | None = None, partition: int | None = None
    ) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition


class UnknownTopicIdError(ClusterStateError):
    """No topic has this id (UNKNOWN_TOPIC_ID)."""


class TopicExistsError(ClusterStateError):
    """TOPIC_ALREADY_EXISTS."""


class InvalidTopicError(ClusterStateError):
    """A name that is no topic name, or collides with one ('.' against '_')."""


class InvalidPartitionsError(ClusterStateError):
    """INVALID_PARTITIONS."""


class InvalidReplicationFactorError(ClusterStateError):
    """INVALID_REPLICATION_FACTOR."""


class InvalidReplicaAssignmentError(ClusterStateError):
    """INVALID_REPLICA_ASSIGNMENT."""


class InvalidRequestError(ClusterStateError):
    """INVALID_REQUEST: contradicting or repeated fields."""


class NoReassignmentInProgressError(ClusterStateError):
    """Nothing moves that could be called off (NO_REASSIGNMENT_IN_PROGRESS)."""


class ReassignmentChangedError(ClusterStateError):
    """The partition moves elsewhere by now than its proposer saw: look again, and decide anew."""


class ElectionNotNeededError(ClusterStateError):
    """The partition is led as it should be (ELECTION_NOT_NEEDED)."""


class PreferredLeaderNotAvailableError(ClusterStateError):
    """The preferred replica is down or not in sync (PREFERRED_LEADER_NOT_AVAILABLE)."""


class EligibleLeadersNotAvailableError(ClusterStateError):
    """No replica is up that may lead (ELIGIBLE_LEADERS_NOT_AVAILABLE)."""


class BrokerIdNotRegisteredError(ClusterStateError):
    """BROKER_ID_NOT_REGISTERED."""


class CorruptCommandError(ReplicationError):
    """Bytes that are no command or snapshot of ours, or of a newer headrace than this one."""


class RaftWalCorruptedError(ReplicationError):
    """Corrupt bytes in the write-ahead log where they cannot be a torn tail."""

    def __init__(self, path: Path, position: int, reason: str) -> None:
        super().__init__(f"{path} is corrupt at byte {position}: {reason}")
        self.path = path
        self.position = position
        self.reason = reason


class CorruptFrameError(ReplicationError):
    """Bytes on a broker link that no broker of ours sends; the link is closed."""


class NotControllerError(ReplicationError):
    """This broker is not the group's controller; `controller_id` is who may be, if known."""

    def __init__(self, message: str, controller_id: int | None = None) -> None:
        super().__init__(message)
        self.controller_id = controller_id


class UnknownOutcomeError(ReplicationError):
    """Nobody can say whether the proposal was carried out; read the state before trying again."""


class GroupSealedError(ReplicationError):
    """The group's generation has ended: the proposal was not carried out, ask the next one."""
