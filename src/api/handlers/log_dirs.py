"""Which folders of log.dirs hold what: DescribeLogDirs (API key 35), AlterReplicaLogDirs (34)."""

import logging
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ...core.log import Log
    from ..broker import Broker

Body = dict[str, Any]
Told = tuple["Log", int, bool]  # with how far it is behind, and whether it is on its way here
logger = logging.getLogger(__name__)

UNKNOWN = -1


def handle_describe_log_dirs(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """DescribeLogDirs (API key 35), versions 1-5.

    Behaviour: every folder of log.dirs with the partitions asked for (null: all) and their sizes; a
        folder that failed is told with KAFKA_STORAGE_ERROR and no partitions.  A copy on its way to
        a folder is told there as a future one, with how many offsets it is behind.
    Versions: 2 is flexible; 3 has an error of its own; 4 tells the size of the volume and what is
        free on it (KIP-827); 5 whether a folder takes no new partitions, which none does here.
    """
    asked = _asked_partitions(request)
    logs: dict[Path, list[Told]] = defaultdict(list)
    log_manager = broker.log_manager
    for log in log_manager.logs():
        if asked is None or (log.topic, log.partition) in asked:
            lag = max(log.high_watermark - log.log_end_offset, 0)
            logs[log_manager.log_dir_of(log)].append((log, lag, False))
    for future, folder in log_manager.future_logs.all():
        if asked is None or (future.topic, future.partition) in asked:
            current = log_manager.get_log(future.topic, future.partition)
            lag = UNKNOWN if current is None else current.log_end_offset - future.log_end_offset
            logs[folder].append((future, lag, True))
    offline = set(log_manager.offline_dirs)
    results = [
        _offline_folder(folder) if folder in offline else _describe(folder, logs[folder])
        for folder in log_manager.log_dirs
    ]
    return {"error_code": ErrorCode.NONE, "results": results}


def handle_alter_replica_log_dirs(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """AlterReplicaLogDirs (API key 34), versions 1-2: replicas to another folder (KIP-113).

    Behaviour: answered once the move has begun.  Where this broker has no copy yet, one is made in
        that folder later, and the answer is REPLICA_NOT_AVAILABLE.  LOG_DIR_NOT_FOUND for a folder
        that log.dirs does not name, KAFKA_STORAGE_ERROR where it, the log, or (as nobody knows what
        is there) any other folder is offline.
    Versions: 2 is flexible.
    """
    codes: dict[str, dict[int, ErrorCode]] = defaultdict(dict)
    for log_dir in request["dirs"]:
        for topic in log_dir["topics"]:
            for index in topic["partitions"]:
                code = _begin_move(broker, topic["name"], index, log_dir["path"])
                codes[topic["name"]][index] = code
    results = [
        {
            "topic_name": name,
            "partitions": [
                {"partition_index": index, "error_code": code} for index, code in by_index.items()
            ],
        }
        for name, by_index in codes.items()
    ]
    return {"results": results}


def _begin_move(broker: "Broker", topic: str, index: int, path: str) -> ErrorCode:
    try:
        broker.log_dir_moves.alter(topic, index, path)
    except HeadraceError as error:
        logger.warning("%s-%d does not move to %s: %s", topic, index, path, error)
        return error_code_of(error)
    return ErrorCode.NONE


def _asked_partitions(request: Body) -> set[tuple[str, int]] | None:
    if request["topics"] is None:
        return None
    return {(topic["topic"], index) for topic in request["topics"] for index in topic["partitions"]}


def _offline_folder(folder: Path) -> Body:
    return {
        "error_code": ErrorCode.KAFKA_STORAGE_ERROR,
        "log_dir": str(folder),
        "topics": [],
    }


def _describe(folder: Path, logs: "list[Told]") -> Body:
    topics: dict[str, list[Body]] = defaultdict(list)
    for log, lag, is_future in sorted(logs, key=lambda told: (told[0].topic, told[0].partition)):
        topics[log.topic].append(
            {
                "partition_index": log.partition,
                "partition_size": log.size_bytes,
                "offset_lag": lag,
                "is_future_key": is_future,
            }
        )
    total, usable = _room(folder)
    return {
        "error_code": ErrorCode.NONE,
        "log_dir": str(folder),
        "topics": [{"name": name, "partitions": parts} for name, parts in topics.items()],
        "total_bytes": total,
        "usable_bytes": usable,
    }


def _room(folder: Path) -> tuple[int, int]:
    """Size of the volume and what is free on it; -1 for both where the system does not tell."""
    try:
        volume = os.statvfs(folder)
    except OSError:
        return UNKNOWN, UNKNOWN
    return volume.f_blocks * volume.f_frsize, volume.f_bavail * volume.f_frsize
