"""DescribeLogDirs (API key 35), versions 1-5.

Behaviour: every folder of log.dirs with the partitions asked for (null: all) and their sizes; a
    folder that failed is told with KAFKA_STORAGE_ERROR and no partitions.
Versions: 2 is flexible; 3 has an error of its own; 4 tells the size of the volume and what is free
    on it (KIP-827); 5 whether a folder takes no new partitions, which none does here.
"""

import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..wire.error_codes import ErrorCode
from .context import RequestContext

if TYPE_CHECKING:
    from ...core.log import Log
    from ..broker import Broker

Body = dict[str, Any]

UNKNOWN_BYTES = -1


def handle_describe_log_dirs(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """The folders, their partitions and their room."""
    asked = _asked_partitions(request)
    logs: dict[Path, list[Log]] = defaultdict(list)
    for log in broker.log_manager.logs():
        if asked is None or (log.topic, log.partition) in asked:
            logs[broker.log_manager.log_dir_of(log)].append(log)
    offline = set(broker.log_manager.offline_dirs)
    results = [
        _offline_folder(folder) if folder in offline else _describe(folder, logs[folder])
        for folder in broker.config.log_dirs
    ]
    return {"error_code": ErrorCode.NONE, "results": results}


def _asked_partitions(request: Body) -> set[tuple[str, int]] | None:
    if request["topics"] is None:
        return None
    return {(topic["topic"], index) for topic in request["topics"] for index in topic["partitions"]}


def _offline_folder(folder: Path) -> Body:
    return {
        "error_code": ErrorCode.KAFKA_STORAGE_ERROR,
        "log_dir": str(folder.absolute()),
        "topics": [],
    }


def _describe(folder: Path, logs: "list[Log]") -> Body:
    topics: dict[str, list[Body]] = defaultdict(list)
    for log in sorted(logs, key=lambda log: (log.topic, log.partition)):
        topics[log.topic].append(
            {
                "partition_index": log.partition,
                "partition_size": log.size_bytes,
                "offset_lag": 0,
                "is_future_key": False,
            }
        )
    total, usable = _room(folder)
    return {
        "error_code": ErrorCode.NONE,
        "log_dir": str(folder.absolute()),
        "topics": [{"name": name, "partitions": parts} for name, parts in topics.items()],
        "total_bytes": total,
        "usable_bytes": usable,
    }


def _room(folder: Path) -> tuple[int, int]:
    """Size of the volume and what is free on it; -1 for both where the system does not tell."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return UNKNOWN_BYTES, UNKNOWN_BYTES
    return usage.total, usage.free
