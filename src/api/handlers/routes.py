"""Which APIs this broker speaks, in which versions, and who answers: one row a key.

ApiVersions, the dispatcher and the table in `api/README.md` read it; nothing else advertises.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..wire.api_keys import ApiKey
from .api_versions import handle_api_versions
from .cluster import (
    handle_describe_cluster,
    handle_describe_topic_partitions,
)
from .configs import (
    handle_alter_configs,
    handle_describe_configs,
    handle_incremental_alter_configs,
    handle_list_config_resources,
)
from .context import RequestContext
from .elections import handle_elect_leaders
from .fetch import handle_fetch
from .find_coordinator import handle_find_coordinator
from .group_offsets import handle_offset_commit, handle_offset_delete, handle_offset_fetch
from .groups import (
    handle_delete_groups,
    handle_describe_groups,
    handle_heartbeat,
    handle_join_group,
    handle_leave_group,
    handle_list_groups,
    handle_sync_group,
)
from .list_offsets import handle_list_offsets
from .log_dirs import handle_alter_replica_log_dirs, handle_describe_log_dirs
from .metadata import handle_metadata
from .offset_for_leader_epoch import handle_offset_for_leader_epoch
from .produce import handle_produce
from .producers import handle_describe_producers, handle_init_producer_id
from .quorum import handle_describe_quorum
from .reassignments import (
    handle_alter_partition_reassignments,
    handle_list_partition_reassignments,
    handle_unregister_broker,
)
from .records import handle_delete_records
from .topics import handle_create_partitions, handle_create_topics, handle_delete_topics

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]
Handler = Callable[["Broker", RequestContext, Body], Body | Awaitable[Body | None] | None]


@dataclass(frozen=True, slots=True)
class Route:
    """One API: the versions that are advertised, both ends included, and its handler."""

    api_key: ApiKey
    min_version: int
    max_version: int
    handler: Handler


_ROWS = (
    # From 0, though spoken from 3: librdkafka before 2.11.1 compresses only if 0 is there.
    Route(ApiKey.PRODUCE, 0, 11, handle_produce),
    Route(ApiKey.FETCH, 4, 17, handle_fetch),
    Route(ApiKey.LIST_OFFSETS, 1, 11, handle_list_offsets),
    Route(ApiKey.METADATA, 0, 13, handle_metadata),
    Route(ApiKey.OFFSET_COMMIT, 2, 10, handle_offset_commit),
    Route(ApiKey.OFFSET_FETCH, 1, 10, handle_offset_fetch),
    Route(ApiKey.FIND_COORDINATOR, 0, 6, handle_find_coordinator),
    Route(ApiKey.JOIN_GROUP, 0, 9, handle_join_group),
    Route(ApiKey.HEARTBEAT, 0, 4, handle_heartbeat),
    Route(ApiKey.LEAVE_GROUP, 0, 5, handle_leave_group),
    Route(ApiKey.SYNC_GROUP, 0, 5, handle_sync_group),
    Route(ApiKey.DESCRIBE_GROUPS, 0, 6, handle_describe_groups),
    Route(ApiKey.LIST_GROUPS, 0, 5, handle_list_groups),
    Route(ApiKey.DELETE_GROUPS, 0, 2, handle_delete_groups),
    Route(ApiKey.OFFSET_DELETE, 0, 0, handle_offset_delete),
    Route(ApiKey.API_VERSIONS, 0, 4, handle_api_versions),
    Route(ApiKey.CREATE_TOPICS, 2, 7, handle_create_topics),
    Route(ApiKey.DELETE_TOPICS, 1, 6, handle_delete_topics),
    Route(ApiKey.DELETE_RECORDS, 0, 2, handle_delete_records),
    Route(ApiKey.INIT_PRODUCER_ID, 0, 5, handle_init_producer_id),
    Route(ApiKey.OFFSET_FOR_LEADER_EPOCH, 2, 4, handle_offset_for_leader_epoch),
    Route(ApiKey.DESCRIBE_CONFIGS, 1, 4, handle_describe_configs),
    Route(ApiKey.ALTER_CONFIGS, 0, 2, handle_alter_configs),
    Route(ApiKey.ALTER_REPLICA_LOG_DIRS, 1, 2, handle_alter_replica_log_dirs),
    Route(ApiKey.DESCRIBE_LOG_DIRS, 1, 5, handle_describe_log_dirs),
    Route(ApiKey.CREATE_PARTITIONS, 0, 3, handle_create_partitions),
    Route(ApiKey.INCREMENTAL_ALTER_CONFIGS, 0, 1, handle_incremental_alter_configs),
    Route(ApiKey.ELECT_LEADERS, 0, 2, handle_elect_leaders),
    Route(ApiKey.ALTER_PARTITION_REASSIGNMENTS, 0, 1, handle_alter_partition_reassignments),
    Route(ApiKey.LIST_PARTITION_REASSIGNMENTS, 0, 0, handle_list_partition_reassignments),
    Route(ApiKey.DESCRIBE_QUORUM, 0, 2, handle_describe_quorum),
    Route(ApiKey.UNREGISTER_BROKER, 0, 0, handle_unregister_broker),
    Route(ApiKey.DESCRIBE_CLUSTER, 0, 2, handle_describe_cluster),
    Route(ApiKey.DESCRIBE_PRODUCERS, 0, 0, handle_describe_producers),
    Route(ApiKey.LIST_CONFIG_RESOURCES, 0, 1, handle_list_config_resources),
    Route(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 0, 0, handle_describe_topic_partitions),
)

ROUTES: dict[int, Route] = {int(row.api_key): row for row in _ROWS}
