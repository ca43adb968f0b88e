"""The one place where an exception becomes a Kafka error code.

The nearest class in an exception's ancestry that is named here decides, so a new subclass of a
known error needs no row.  What is not named is our own mistake: UNKNOWN_SERVER_ERROR, and logged.
"""

import logging

from ...core import errors as core
from ...raft import errors as raft
from ..coordinator import errors as groups
from ..wire.error_codes import ErrorCode

logger = logging.getLogger(__name__)

_CODES: dict[type[BaseException], ErrorCode] = {
    core.CorruptRecordError: ErrorCode.CORRUPT_MESSAGE,
    core.InvalidRecordError: ErrorCode.INVALID_RECORD,
    core.InvalidTimestampError: ErrorCode.INVALID_TIMESTAMP,
    core.RecordTooLargeError: ErrorCode.MESSAGE_TOO_LARGE,
    core.RecordBatchTooLargeError: ErrorCode.RECORD_LIST_TOO_LARGE,
    core.UnsupportedCompressionTypeError: ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
    core.OutOfOrderSequenceError: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    core.InvalidProducerEpochError: ErrorCode.INVALID_PRODUCER_EPOCH,
    core.InvalidTxnStateError: ErrorCode.INVALID_TXN_STATE,
    core.OffsetOutOfRangeError: ErrorCode.OFFSET_OUT_OF_RANGE,
    core.KafkaStorageError: ErrorCode.KAFKA_STORAGE_ERROR,
    core.LogCorruptedError: ErrorCode.CORRUPT_MESSAGE,
    core.LogClosedError: ErrorCode.NOT_LEADER_OR_FOLLOWER,
    core.LogDirNotFoundError: ErrorCode.LOG_DIR_NOT_FOUND,
    core.InvalidConfigError: ErrorCode.INVALID_CONFIG,
    raft.NotLeaderOrFollowerError: ErrorCode.NOT_LEADER_OR_FOLLOWER,
    raft.ReplicaNotAvailableError: ErrorCode.REPLICA_NOT_AVAILABLE,
    raft.FencedLeaderEpochError: ErrorCode.FENCED_LEADER_EPOCH,
    raft.UnknownLeaderEpochError: ErrorCode.UNKNOWN_LEADER_EPOCH,
    raft.UnknownTopicOrPartitionError: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    raft.UnknownTopicIdError: ErrorCode.UNKNOWN_TOPIC_ID,
    raft.NotControllerError: ErrorCode.NOT_CONTROLLER,
    raft.UnknownOutcomeError: ErrorCode.REQUEST_TIMED_OUT,
    raft.GroupSealedError: ErrorCode.REQUEST_TIMED_OUT,
    raft.NotEnoughReplicasError: ErrorCode.NOT_ENOUGH_REPLICAS,
    raft.NotEnoughReplicasAfterAppendError: ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    raft.OffsetNotAvailableError: ErrorCode.OFFSET_NOT_AVAILABLE,
    raft.FetchSessionIdNotFoundError: ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
    raft.InvalidFetchSessionEpochError: ErrorCode.INVALID_FETCH_SESSION_EPOCH,
    raft.FetchSessionTopicIdError: ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
    raft.StaleBrokerEpochError: ErrorCode.STALE_BROKER_EPOCH,
    raft.InvalidRequiredAcksError: ErrorCode.INVALID_REQUIRED_ACKS,
    raft.TopicExistsError: ErrorCode.TOPIC_ALREADY_EXISTS,
    raft.InvalidTopicError: ErrorCode.INVALID_TOPIC_EXCEPTION,
    raft.InvalidPartitionsError: ErrorCode.INVALID_PARTITIONS,
    raft.InvalidReplicationFactorError: ErrorCode.INVALID_REPLICATION_FACTOR,
    raft.InvalidReplicaAssignmentError: ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    raft.InvalidRequestError: ErrorCode.INVALID_REQUEST,
    raft.NoReassignmentInProgressError: ErrorCode.NO_REASSIGNMENT_IN_PROGRESS,
    raft.ElectionNotNeededError: ErrorCode.ELECTION_NOT_NEEDED,
    raft.PreferredLeaderNotAvailableError: ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
    raft.EligibleLeadersNotAvailableError: ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
    raft.BrokerIdNotRegisteredError: ErrorCode.BROKER_ID_NOT_REGISTERED,
    groups.InvalidGroupIdError: ErrorCode.INVALID_GROUP_ID,
    groups.UnknownMemberIdError: ErrorCode.UNKNOWN_MEMBER_ID,
    groups.IllegalGenerationError: ErrorCode.ILLEGAL_GENERATION,
    groups.RebalanceInProgressError: ErrorCode.REBALANCE_IN_PROGRESS,
    groups.InconsistentGroupProtocolError: ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
    groups.InvalidSessionTimeoutError: ErrorCode.INVALID_SESSION_TIMEOUT,
    groups.MemberIdRequiredError: ErrorCode.MEMBER_ID_REQUIRED,
    groups.GroupMaxSizeReachedError: ErrorCode.GROUP_MAX_SIZE_REACHED,
    groups.FencedInstanceIdError: ErrorCode.FENCED_INSTANCE_ID,
    groups.CoordinatorLoadInProgressError: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    groups.CoordinatorNotAvailableError: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    groups.NotCoordinatorError: ErrorCode.NOT_COORDINATOR,
    groups.GroupIdNotFoundError: ErrorCode.GROUP_ID_NOT_FOUND,
    groups.NonEmptyGroupError: ErrorCode.NON_EMPTY_GROUP,
    groups.GroupSubscribedToTopicError: ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC,
    groups.OffsetMetadataTooLargeError: ErrorCode.OFFSET_METADATA_TOO_LARGE,
    groups.InvalidCommitOffsetSizeError: ErrorCode.INVALID_COMMIT_OFFSET_SIZE,
    groups.GroupRecordTooLargeError: ErrorCode.UNKNOWN_SERVER_ERROR,
    groups.GroupStoreError: ErrorCode.UNKNOWN_SERVER_ERROR,
    TimeoutError: ErrorCode.REQUEST_TIMED_OUT,
}


def error_code_of(error: BaseException) -> ErrorCode:
    """The code that tells a client of `error`; an unforeseen one is logged with its trace."""
    for ancestor in type(error).__mro__:
        code = _CODES.get(ancestor)
        if code is not None:
            return code
    logger.error("an error that no code stands for", exc_info=error)
    return ErrorCode.UNKNOWN_SERVER_ERROR
