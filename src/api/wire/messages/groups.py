"""Consumer groups (classic protocol): who is in them, who gets what, and what is known of them.

FindCoordinator (10) 0-6: 1 adds transactions, 3 is flexible, 4 asks for many keys (KIP-699),
5 and 6 change no layout (KIP-890, KIP-932).
JoinGroup (11) 0-9: 1 adds the rebalance timeout, 4 the required member id (KIP-394), 5 static
members (KIP-345), 6 is flexible, 7 tells the protocol type (KIP-559), 8 gives a reason (KIP-800),
9 lets the leader skip the assignment (KIP-814).
SyncGroup (14) 0-5: 3 static members, 4 flexible, 5 checks the protocol (KIP-559).
Heartbeat (12) 0-4: 3 static members, 4 flexible.
LeaveGroup (13) 0-5: 3 many members at once, 4 flexible, 5 reasons (KIP-800).
DescribeGroups (15) 0-6: 3 operations (KIP-430), 4 static members, 5 flexible, 6 an error message
(KIP-1043).
ListGroups (16) 0-5: 3 flexible, 4 states (KIP-518), 5 types (KIP-848).
DeleteGroups (42) 0-2: 2 flexible.
"""

from ..schema import declare

FIND_COORDINATOR_REQUEST = declare(
    "FindCoordinatorRequest",
    10,
    versions="0-6",
    flexible="3+",
    text="""
key string 0-3
key_type int8 1+
coordinator_keys []string 4+
""",
)

FIND_COORDINATOR_RESPONSE = declare(
    "FindCoordinatorResponse",
    10,
    versions="0-6",
    flexible="3+",
    text="""
throttle_time_ms int32 1+
error_code int16 0-3
error_message string 1-3 ?
node_id int32 0-3
host string 0-3
port int32 0-3
coordinators [] 4+
  key string
  node_id int32
  host string
  port int32
  error_code int16
  error_message string ?
""",
)

JOIN_GROUP_REQUEST = declare(
    "JoinGroupRequest",
    11,
    versions="0-9",
    flexible="6+",
    text="""
group_id string
session_timeout_ms int32
rebalance_timeout_ms int32 1+ = -1
member_id string
group_instance_id string 5+ ? = null
protocol_type string
protocols []
  name string
  metadata bytes
reason string 8+ ? = null
""",
)

JOIN_GROUP_RESPONSE = declare(
    "JoinGroupResponse",
    11,
    versions="0-9",
    flexible="6+",
    text="""
throttle_time_ms int32 2+
error_code int16
generation_id int32 = -1
protocol_type string 7+ ? = null
protocol_name string ?7+
leader string
skip_assignment bool 9+
member_id string
members []
  member_id string
  group_instance_id string 5+ ? = null
  metadata bytes
""",
)

SYNC_GROUP_REQUEST = declare(
    "SyncGroupRequest",
    14,
    versions="0-5",
    flexible="4+",
    text="""
group_id string
generation_id int32
member_id string
group_instance_id string 3+ ? = null
protocol_type string 5+ ? = null
protocol_name string 5+ ? = null
assignments []
  member_id string
  assignment bytes
""",
)

SYNC_GROUP_RESPONSE = declare(
    "SyncGroupResponse",
    14,
    versions="0-5",
    flexible="4+",
    text="""
throttle_time_ms int32 1+
error_code int16
protocol_type string 5+ ? = null
protocol_name string 5+ ? = null
assignment bytes
""",
)

HEARTBEAT_REQUEST = declare(
    "HeartbeatRequest",
    12,
    versions="0-4",
    flexible="4+",
    text="""
group_id string
generation_id int32
member_id string
group_instance_id string 3+ ? = null
""",
)

HEARTBEAT_RESPONSE = declare(
    "HeartbeatResponse",
    12,
    versions="0-4",
    flexible="4+",
    text="""
throttle_time_ms int32 1+
error_code int16
""",
)

LEAVE_GROUP_REQUEST = declare(
    "LeaveGroupRequest",
    13,
    versions="0-5",
    flexible="4+",
    text="""
group_id string
member_id string 0-2
members [] 3+
  member_id string
  group_instance_id string ? = null
  reason string 5+ ? = null
""",
)

LEAVE_GROUP_RESPONSE = declare(
    "LeaveGroupResponse",
    13,
    versions="0-5",
    flexible="4+",
    text="""
throttle_time_ms int32 1+
error_code int16
members [] 3+
  member_id string
  group_instance_id string ?
  error_code int16
""",
)

DESCRIBE_GROUPS_REQUEST = declare(
    "DescribeGroupsRequest",
    15,
    versions="0-6",
    flexible="5+",
    text="""
groups []string
include_authorized_operations bool 3+
""",
)

DESCRIBE_GROUPS_RESPONSE = declare(
    "DescribeGroupsResponse",
    15,
    versions="0-6",
    flexible="5+",
    text="""
throttle_time_ms int32 1+
groups []
  error_code int16
  error_message string 6+ ? = null
  group_id string
  group_state string
  protocol_type string
  protocol_data string
  members []
    member_id string
    group_instance_id string 4+ ? = null
    client_id string
    client_host string
    member_metadata bytes
    member_assignment bytes
  authorized_operations int32 3+ = -2147483648
""",
)

LIST_GROUPS_REQUEST = declare(
    "ListGroupsRequest",
    16,
    versions="0-5",
    flexible="3+",
    text="""
states_filter []string 4+
types_filter []string 5+
""",
)

LIST_GROUPS_RESPONSE = declare(
    "ListGroupsResponse",
    16,
    versions="0-5",
    flexible="3+",
    text="""
throttle_time_ms int32 1+
error_code int16
groups []
  group_id string
  protocol_type string
  group_state string 4+
  group_type string 5+
""",
)

DELETE_GROUPS_REQUEST = declare(
    "DeleteGroupsRequest",
    42,
    versions="0-2",
    flexible="2+",
    text="""
groups_names []string
""",
)

DELETE_GROUPS_RESPONSE = declare(
    "DeleteGroupsResponse",
    42,
    versions="0-2",
    flexible="2+",
    text="""
throttle_time_ms int32
results []
  group_id string
  error_code int16
""",
)

MESSAGES = (
    FIND_COORDINATOR_REQUEST,
    FIND_COORDINATOR_RESPONSE,
    JOIN_GROUP_REQUEST,
    JOIN_GROUP_RESPONSE,
    SYNC_GROUP_REQUEST,
    SYNC_GROUP_RESPONSE,
    HEARTBEAT_REQUEST,
    HEARTBEAT_RESPONSE,
    LEAVE_GROUP_REQUEST,
    LEAVE_GROUP_RESPONSE,
    DESCRIBE_GROUPS_REQUEST,
    DESCRIBE_GROUPS_RESPONSE,
    LIST_GROUPS_REQUEST,
    LIST_GROUPS_RESPONSE,
    DELETE_GROUPS_REQUEST,
    DELETE_GROUPS_RESPONSE,
)
