"""The error codes of the Kafka protocol: number, name, whether a client may retry, and in words."""

from enum import IntEnum

_RETRIABLE = True
_FINAL = False

_DETAILS: dict[int, tuple[bool, str]] = {
    -1: (_FINAL, "The broker met an error it did not expect."),
    0: (_FINAL, "No error."),
    1: (_FINAL, "The offset is outside the range that the partition holds."),
    2: (_RETRIABLE, "A record batch is corrupt: bad checksum, size or format."),
    3: (_RETRIABLE, "This broker does not host this topic-partition."),
    4: (_FINAL, "The fetch size is not valid."),
    5: (_RETRIABLE, "The partition has no leader at the moment."),
    6: (_RETRIABLE, "This broker is not the leader of the partition, or not a replica of it."),
    7: (_RETRIABLE, "The request timed out."),
    8: (_FINAL, "The broker is not available."),
    9: (_RETRIABLE, "The replica is not available."),
    10: (_FINAL, "The batch is larger than max.message.bytes allows."),
    11: (_FINAL, "The controller has moved to another broker."),
    12: (_FINAL, "The metadata of the committed offset is too large."),
    13: (_RETRIABLE, "The connection broke before an answer came."),
    14: (_RETRIABLE, "The coordinator is loading and cannot answer yet."),
    15: (_RETRIABLE, "The coordinator is not available."),
    16: (_RETRIABLE, "This broker is not the coordinator."),
    17: (_FINAL, "The topic name is not allowed."),
    18: (_FINAL, "The batch is larger than a segment may be."),
    19: (_RETRIABLE, "Fewer replicas are in sync than min.insync.replicas asks for."),
    20: (_RETRIABLE, "The records were written, but to fewer replicas than asked for."),
    21: (_FINAL, "acks must be -1, 0 or 1."),
    22: (_FINAL, "The generation of the group is not the current one."),
    23: (_FINAL, "The member's protocols do not fit those of the group."),
    24: (_FINAL, "The group id is not valid."),
    25: (_FINAL, "The coordinator does not know this member."),
    26: (_FINAL, "The session timeout is outside the range that the broker allows."),
    27: (_FINAL, "The group is rebalancing: join again."),
    28: (_FINAL, "The committed offset is too large to store."),
    29: (_FINAL, "Not authorized for this topic."),
    30: (_FINAL, "Not authorized for this group."),
    31: (_FINAL, "Not authorized for the cluster."),
    32: (_FINAL, "A timestamp is outside the range that the topic allows."),
    33: (_FINAL, "The SASL mechanism is not offered by this broker."),
    34: (_FINAL, "The request does not fit the state of the SASL exchange."),
    35: (_FINAL, "This version of the API is not supported."),
    36: (_FINAL, "The topic exists already."),
    37: (_FINAL, "The number of partitions is not valid."),
    38: (_FINAL, "The replication factor is not valid for the brokers there are."),
    39: (_FINAL, "The assignment of replicas is not valid."),
    40: (_FINAL, "A setting is unknown or its value is not valid."),
    41: (_RETRIABLE, "This broker is not the controller."),
    42: (_FINAL, "The request is not valid."),
    43: (_FINAL, "The format of the log does not support the request."),
    44: (_FINAL, "A policy forbids the request."),
    45: (_FINAL, "The sequence number is not the next one of the producer."),
    46: (_FINAL, "The sequence number was seen before."),
    47: (_FINAL, "The producer's epoch is older than the current one."),
    48: (_FINAL, "The state of the transaction does not allow the request."),
    49: (_FINAL, "The producer id does not belong to this transactional id."),
    50: (_FINAL, "The transaction timeout is larger than transaction.max.timeout.ms."),
    51: (_RETRIABLE, "Another change of the same transaction is under way."),
    52: (_FINAL, "The sender is no longer the transaction coordinator."),
    53: (_FINAL, "Not authorized for this transactional id."),
    54: (_FINAL, "Security features are turned off."),
    55: (_FINAL, "The operation was not tried, because another part of the request failed."),
    56: (_RETRIABLE, "The disk refused to read or write."),
    57: (_FINAL, "The log directory is not known."),
    58: (_FINAL, "SASL authentication failed."),
    59: (_FINAL, "The producer id is not known to this partition."),
    60: (_FINAL, "A reassignment of partitions is under way."),
    61: (_FINAL, "Delegation tokens are not enabled."),
    62: (_FINAL, "The delegation token is not known."),
    63: (_FINAL, "The principal is not the owner of the delegation token."),
    64: (_FINAL, "Delegation tokens cannot be requested over this connection."),
    65: (_FINAL, "Not authorized for this delegation token."),
    66: (_FINAL, "The delegation token has expired."),
    67: (_FINAL, "The principal type is not supported."),
    68: (_FINAL, "The group still has members, or consumes the topic."),
    69: (_FINAL, "The group id does not exist."),
    70: (_RETRIABLE, "The fetch session does not exist."),
    71: (_RETRIABLE, "The epoch of the fetch session is not the expected one."),
    72: (_RETRIABLE, "This listener is not one of the leader's."),
    73: (_FINAL, "Deleting topics is turned off (delete.topic.enable)."),
    74: (_RETRIABLE, "The leader epoch is older than the current one."),
    75: (_RETRIABLE, "The leader epoch is newer than the one this broker knows."),
    76: (_FINAL, "The compression type is not supported by this version of the request."),
    77: (_FINAL, "The broker's epoch is older than the one registered."),
    78: (_RETRIABLE, "The leader has not caught up far enough to tell this offset."),
    79: (_FINAL, "Join again with the member id in this answer."),
    80: (_RETRIABLE, "No leader could be elected from the preferred replica."),
    81: (_FINAL, "The group has as many members as group.max.size allows."),
    82: (_FINAL, "Another member has taken this group.instance.id."),
    83: (_RETRIABLE, "No replica of the partition may become leader."),
    84: (_RETRIABLE, "The leader is the right one already."),
    85: (_FINAL, "The partition is not being reassigned."),
    86: (_FINAL, "The group consumes this topic: its offsets cannot be deleted."),
    87: (_FINAL, "A record breaks a rule of the topic."),
    88: (_RETRIABLE, "A transaction has offsets pending that decide this answer."),
    89: (_RETRIABLE, "The quota of this principal is used up."),
    90: (_FINAL, "A newer producer has taken this transactional id."),
    91: (_FINAL, "The resource does not exist."),
    92: (_FINAL, "The resource exists already."),
    93: (_FINAL, "The credential is not acceptable."),
    94: (_FINAL, "The sender and the receiver disagree on the voters of the quorum."),
    95: (_FINAL, "The version of the partition's state has moved on."),
    96: (_FINAL, "The features could not be updated."),
    97: (_FINAL, "The principal in the envelope could not be read."),
    98: (_FINAL, "The snapshot does not exist."),
    99: (_FINAL, "The position is outside the snapshot."),
    100: (_RETRIABLE, "This broker does not know this topic id."),
    101: (_FINAL, "A broker with this id is registered and alive."),
    102: (_FINAL, "The broker id is not registered."),
    103: (_RETRIABLE, "The topic id differs from the one in the log."),
    104: (_FINAL, "The cluster id differs from the receiver's."),
    105: (_FINAL, "The transactional id does not exist."),
    106: (_RETRIABLE, "The topic ids of the fetch session do not fit the request."),
    107: (_FINAL, "A replica outside the eligible set cannot join the in-sync set."),
    108: (_FINAL, "An election for this partition has begun since."),
    109: (_FINAL, "The tiered offset has moved past the asked one."),
    110: (_FINAL, "The member's epoch is fenced: it must drop its partitions and join again."),
    111: (_FINAL, "Another member of the group uses this instance id."),
    112: (_FINAL, "The assignor is not supported by the group coordinator."),
    113: (_FINAL, "The member's epoch is stale: heartbeat again and retry."),
    114: (_FINAL, "The request went to an endpoint of the wrong type."),
    115: (_FINAL, "This endpoint type is not supported."),
    116: (_FINAL, "The controller id is not known."),
    117: (_FINAL, "The telemetry subscription id is not the current one."),
    118: (_FINAL, "The telemetry payload is too large."),
    119: (_FINAL, "The registration is not valid."),
    120: (_FINAL, "The transaction must be aborted."),
    121: (_FINAL, "The record is not in the state that the request needs."),
    122: (_RETRIABLE, "The share session does not exist."),
    123: (_RETRIABLE, "The epoch of the share session is not the expected one."),
    124: (_FINAL, "The epoch of the share coordinator's state is older than the current one."),
    125: (_FINAL, "The voter's key differs from the receiver's."),
    126: (_FINAL, "The voter is already one of the quorum."),
    127: (_FINAL, "The voter is not one of the quorum."),
    128: (_FINAL, "The regular expression is not valid."),
    129: (_FINAL, "The client must fetch metadata anew from another bootstrap server."),
    130: (_FINAL, "The topology of the streams group is not valid."),
    131: (_FINAL, "The topology epoch of the streams group is not valid."),
    132: (_FINAL, "The topology epoch of the streams group is older than the current one."),
    133: (_RETRIABLE, "The limit of share sessions is reached."),
}


class ErrorCode(IntEnum):
    """What an answer says went wrong; 0 is no error."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    INVALID_FETCH_SIZE = 4
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    STALE_CONTROLLER_EPOCH = 11
    OFFSET_METADATA_TOO_LARGE = 12
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC_EXCEPTION = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    INVALID_COMMIT_OFFSET_SIZE = 28
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    NOT_CONTROLLER = 41
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTION_COORDINATOR_FENCED = 52
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    SECURITY_DISABLED = 54
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    LOG_DIR_NOT_FOUND = 57
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    REASSIGNMENT_IN_PROGRESS = 60
    DELEGATION_TOKEN_AUTH_DISABLED = 61
    DELEGATION_TOKEN_NOT_FOUND = 62
    DELEGATION_TOKEN_OWNER_MISMATCH = 63
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65
    DELEGATION_TOKEN_EXPIRED = 66
    INVALID_PRINCIPAL_TYPE = 67
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_FETCH_SESSION_EPOCH = 71
    LISTENER_NOT_FOUND = 72
    TOPIC_DELETION_DISABLED = 73
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    STALE_BROKER_EPOCH = 77
    OFFSET_NOT_AVAILABLE = 78
    MEMBER_ID_REQUIRED = 79
    PREFERRED_LEADER_NOT_AVAILABLE = 80
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83
    ELECTION_NOT_NEEDED = 84
    NO_REASSIGNMENT_IN_PROGRESS = 85
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    THROTTLING_QUOTA_EXCEEDED = 89
    PRODUCER_FENCED = 90
    RESOURCE_NOT_FOUND = 91
    DUPLICATE_RESOURCE = 92
    UNACCEPTABLE_CREDENTIAL = 93
    INCONSISTENT_VOTER_SET = 94
    INVALID_UPDATE_VERSION = 95
    FEATURE_UPDATE_FAILED = 96
    PRINCIPAL_DESERIALIZATION_FAILURE = 97
    SNAPSHOT_NOT_FOUND = 98
    POSITION_OUT_OF_RANGE = 99
    UNKNOWN_TOPIC_ID = 100
    DUPLICATE_BROKER_REGISTRATION = 101
    BROKER_ID_NOT_REGISTERED = 102
    INCONSISTENT_TOPIC_ID = 103
    INCONSISTENT_CLUSTER_ID = 104
    TRANSACTIONAL_ID_NOT_FOUND = 105
    FETCH_SESSION_TOPIC_ID_ERROR = 106
    INELIGIBLE_REPLICA = 107
    NEW_LEADER_ELECTED = 108
    OFFSET_MOVED_TO_TIERED_STORAGE = 109
    FENCED_MEMBER_EPOCH = 110
    UNRELEASED_INSTANCE_ID = 111
    UNSUPPORTED_ASSIGNOR = 112
    STALE_MEMBER_EPOCH = 113
    MISMATCHED_ENDPOINT_TYPE = 114
    UNSUPPORTED_ENDPOINT_TYPE = 115
    UNKNOWN_CONTROLLER_ID = 116
    UNKNOWN_SUBSCRIPTION_ID = 117
    TELEMETRY_TOO_LARGE = 118
    INVALID_REGISTRATION = 119
    TRANSACTION_ABORTABLE = 120
    INVALID_RECORD_STATE = 121
    SHARE_SESSION_NOT_FOUND = 122
    INVALID_SHARE_SESSION_EPOCH = 123
    FENCED_STATE_EPOCH = 124
    INVALID_VOTER_KEY = 125
    DUPLICATE_VOTER = 126
    VOTER_NOT_FOUND = 127
    INVALID_REGULAR_EXPRESSION = 128
    REBOOTSTRAP_REQUIRED = 129
    STREAMS_INVALID_TOPOLOGY = 130
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131
    STREAMS_TOPOLOGY_FENCED = 132
    SHARE_SESSION_LIMIT_REACHED = 133

    @property
    def is_retriable(self) -> bool:
        """Whether the same request may succeed later."""
        return _DETAILS[self.value][0]

    @property
    def message(self) -> str:
        """What went wrong, for a person."""
        return _DETAILS[self.value][1]
