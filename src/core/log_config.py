"""A topic's settings: Kafka 4.3's names, types, defaults and bounds.

`TOPIC_CONFIG_DEFS` declares them; a `LogConfig` holds the values of one topic.  What a topic does
not set itself comes from the broker setting named as its synonym, which the broker lays into the
`LogConfig` it hands over as `defaults`.  A `LogConfig` built directly is not bounded, so that a
test can have a segment of 1 KiB.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from .config_def import LONG_MAX, ConfigDef
from .errors import InvalidConfigError

__all__ = [
    "TOPIC_CONFIG_DEFS",
    "ConfigDef",
    "LogConfig",
    "parse_topic_configs",
    "topic_config_text",
]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
COMPRESSION_TYPES = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
TIMESTAMP_TYPES = ("CreateTime", "LogAppendTime")
ALL_REPLICAS = ("*",)
_REPLICA_LISTS = (
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
)
_REPLICA = re.compile("[0-9]+:[0-9]+")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The values one log lives by; field names are the settings' with `_` for `.`."""

    cleanup_policy: frozenset[str] = frozenset(("delete",))
    compression_type: str = "producer"
    compression_gzip_level: int = -1
    compression_lz4_level: int = 9
    compression_zstd_level: int = 3
    delete_retention_ms: int = DAY_MS
    file_delete_delay_ms: int = 60_000
    flush_messages: int = LONG_MAX
    flush_ms: int = LONG_MAX
    follower_replication_throttled_replicas: tuple[str, ...] = ()
    index_interval_bytes: int = 4096
    internal_segment_bytes: int = 0
    leader_replication_throttled_replicas: tuple[str, ...] = ()
    local_retention_bytes: int = -2
    local_retention_ms: int = -2
    max_compaction_lag_ms: int = LONG_MAX
    max_message_bytes: int = 1_048_588
    message_timestamp_after_max_ms: int = HOUR_MS
    message_timestamp_before_max_ms: int = LONG_MAX
    message_timestamp_type: str = "CreateTime"
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    min_insync_replicas: int = 1
    preallocate: bool = False
    remote_log_copy_disable: bool = False
    remote_log_delete_on_disable: bool = False
    remote_storage_enable: bool = False
    retention_bytes: int = -1
    retention_ms: int = 7 * DAY_MS
    segment_bytes: int = 1 << 30
    segment_index_bytes: int = 10 << 20
    segment_jitter_ms: int = 0
    segment_ms: int = 7 * DAY_MS
    unclean_leader_election_enable: bool = False

    @property
    def is_compacted(self) -> bool:
        """Whether only the last record of each key is kept."""
        return "compact" in self.cleanup_policy

    @property
    def is_deleted(self) -> bool:
        """Whether whole segments are dropped by age and size."""
        return "delete" in self.cleanup_policy


_DEFAULTS = LogConfig()


def _define(
    name: str,
    config_type: Any,
    broker_synonym: str | None,
    doc: str,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    is_internal: bool = False,
) -> ConfigDef:
    default: Any = getattr(_DEFAULTS, name.replace(".", "_"))
    if config_type == "list" and isinstance(default, frozenset):
        default = tuple(sorted(default))
    return ConfigDef(
        name, config_type, default, doc, minimum, maximum, choices, broker_synonym, is_internal
    )


_DEFINITIONS = (
    _define(
        "cleanup.policy",
        "list",
        "log.cleanup.policy",
        "delete drops old segments; compact keeps the last record of each key; both may stand.",
        choices=("compact", "delete"),
    ),
    _define(
        "compression.type",
        "string",
        "compression.type",
        "The codec batches are kept in; producer keeps what was sent.",
        choices=COMPRESSION_TYPES,
    ),
    _define(
        "compression.gzip.level",
        "int",
        "compression.gzip.level",
        "The gzip level, 1 to 9, or -1 for the codec's default.",
        -1,
        9,
    ),
    _define("compression.lz4.level", "int", "compression.lz4.level", "The lz4 level.", 1, 17),
    _define(
        "compression.zstd.level",
        "int",
        "compression.zstd.level",
        "The zstd level.",
        -131_072,
        22,
    ),
    _define(
        "delete.retention.ms",
        "long",
        "log.cleaner.delete.retention.ms",
        "How long a tombstone stays in a compacted log after its keys were cleaned.",
        0,
    ),
    _define(
        "file.delete.delay.ms",
        "long",
        "log.segment.delete.delay.ms",
        "How long a deleted segment's file stays on disk.",
        0,
    ),
    _define(
        "flush.messages",
        "long",
        "log.flush.interval.messages",
        "After how many records the log is synced; 1 syncs before each answer.",
        1,
    ),
    _define(
        "flush.ms",
        "long",
        "log.flush.interval.ms",
        "After how long an unsynced record is synced.",
        0,
    ),
    _define(
        "follower.replication.throttled.replicas",
        "list",
        None,
        "partition:broker pairs whose replication is throttled on the follower, or *.",
    ),
    _define(
        "index.interval.bytes",
        "int",
        "log.index.interval.bytes",
        "How many bytes of records go by between two entries of an index.",
        0,
    ),
    _define(
        "internal.segment.bytes",
        "int",
        None,
        "A segment size below the bound of segment.bytes, for tests; 0 leaves segment.bytes.",
        0,
        is_internal=True,
    ),
    _define(
        "leader.replication.throttled.replicas",
        "list",
        None,
        "partition:broker pairs whose replication is throttled on the leader, or *.",
    ),
    _define(
        "local.retention.bytes",
        "long",
        "log.local.retention.bytes",
        "Bytes kept locally under tiered storage; -2 means retention.bytes.",
        -2,
    ),
    _define(
        "local.retention.ms",
        "long",
        "log.local.retention.ms",
        "Time kept locally under tiered storage; -2 means retention.ms.",
        -2,
    ),
    _define(
        "max.compaction.lag.ms",
        "long",
        "log.cleaner.max.compaction.lag.ms",
        "The longest a record may stay uncompacted.",
        1,
    ),
    _define(
        "max.message.bytes",
        "int",
        "message.max.bytes",
        "The largest batch accepted, as sent and compressed.",
        0,
    ),
    _define(
        "message.timestamp.after.max.ms",
        "long",
        "log.message.timestamp.after.max.ms",
        "How far a record's timestamp may lie ahead of the broker's clock.",
        0,
    ),
    _define(
        "message.timestamp.before.max.ms",
        "long",
        "log.message.timestamp.before.max.ms",
        "How far a record's timestamp may lie behind the broker's clock.",
        0,
    ),
    _define(
        "message.timestamp.type",
        "string",
        "log.message.timestamp.type",
        "Whether a record carries the producer's time or that of its append.",
        choices=TIMESTAMP_TYPES,
    ),
    _define(
        "min.cleanable.dirty.ratio",
        "double",
        "log.cleaner.min.cleanable.ratio",
        "The share of uncompacted bytes at which a log is compacted.",
        0,
        1,
    ),
    _define(
        "min.compaction.lag.ms",
        "long",
        "log.cleaner.min.compaction.lag.ms",
        "How long a record stays uncompacted at least.",
        0,
    ),
    _define(
        "min.insync.replicas",
        "int",
        "min.insync.replicas",
        "How many replicas must be in sync for acks=all.",
        1,
    ),
    _define(
        "preallocate",
        "boolean",
        "log.preallocate",
        "Whether a new segment takes its whole size on disk at once.",
    ),
    _define(
        "remote.log.copy.disable",
        "boolean",
        None,
        "Tiered storage: stop copying new segments.",
    ),
    _define(
        "remote.log.delete.on.disable",
        "boolean",
        None,
        "Tiered storage: delete what was copied when it is disabled.",
    ),
    _define(
        "remote.storage.enable",
        "boolean",
        None,
        "Tiered storage for this topic; not available here.",
    ),
    _define(
        "retention.bytes",
        "long",
        "log.retention.bytes",
        "The size of a partition above which its oldest segments go; -1 keeps all.",
        -1,
    ),
    _define(
        "retention.ms",
        "long",
        "log.retention.ms",
        "The age above which segments go; -1 keeps them for ever.",
        -1,
    ),
    _define(
        "segment.bytes",
        "int",
        "log.segment.bytes",
        "The size at which a segment is closed and a new one begun.",
        1 << 20,
    ),
    _define(
        "segment.index.bytes",
        "int",
        "log.index.size.max.bytes",
        "The size of a segment's offset index; a full one closes the segment.",
        4,
    ),
    _define(
        "segment.jitter.ms",
        "long",
        "log.roll.jitter.ms",
        "How much of segment.ms is taken off at random, so that segments do not roll together.",
        0,
    ),
    _define(
        "segment.ms",
        "long",
        "log.roll.ms",
        "The age at which a segment is closed even when it is not full.",
        1,
    ),
    _define(
        "unclean.leader.election.enable",
        "boolean",
        "unclean.leader.election.enable",
        "Whether a replica that is not in sync may lead when none that is can: loses records.",
    ),
)

TOPIC_CONFIG_DEFS: Mapping[str, ConfigDef] = {each.name: each for each in _DEFINITIONS}

# Settings that older clients and tutorials still send; Kafka 4 has dropped them.
DROPPED_CONFIGS = frozenset(
    (
        "message.format.version",
        "message.timestamp.difference.max.ms",
        "message.downconversion.enable",
    )
)


def parse_topic_configs(overrides: Mapping[str, str], defaults: LogConfig = _DEFAULTS) -> LogConfig:
    """`defaults` with a topic's own settings laid over; raises InvalidConfigError."""
    values: dict[str, Any] = {}
    for name, text in overrides.items():
        definition = TOPIC_CONFIG_DEFS.get(name)
        if definition is None:
            raise InvalidConfigError(name, text, unknown_config_reason(name, TOPIC_CONFIG_DEFS))
        value = definition.parse(text)
        if name in _REPLICA_LISTS:
            _check_replicas(name, text, value)
        values[definition.field_name] = frozenset(value) if name == "cleanup.policy" else value
    config = replace(defaults, **values)
    if config.internal_segment_bytes:
        config = replace(config, segment_bytes=config.internal_segment_bytes)
    _check_together(config)
    return config


def topic_config_text(name: str, config: LogConfig) -> str:
    """The value of one setting as DescribeConfigs gives it."""
    definition = TOPIC_CONFIG_DEFS[name]
    return definition.format(getattr(config, definition.field_name))


def unknown_config_reason(name: str, known: Mapping[str, ConfigDef]) -> str:
    """Why `name` is refused, with the nearest name that is known."""
    if name in DROPPED_CONFIGS:
        return "this setting was dropped in Kafka 4; leave it out"
    from difflib import get_close_matches  # for a mistake only

    near = get_close_matches(name, known, n=1)
    return f"unknown setting; did you mean {near[0]}?" if near else "unknown setting"


def _check_replicas(name: str, text: str, pairs: tuple[str, ...]) -> None:
    if pairs != ALL_REPLICAS and not all(map(_REPLICA.fullmatch, pairs)):
        raise InvalidConfigError(
            name,
            text,
            "it takes '*' or a list of replicas, each [partitionId]:[brokerId]",
        )


def _check_together(config: LogConfig) -> None:
    if config.min_compaction_lag_ms > config.max_compaction_lag_ms:
        raise InvalidConfigError(
            "min.compaction.lag.ms",
            config.min_compaction_lag_ms,
            f"it must not be above max.compaction.lag.ms ({config.max_compaction_lag_ms})",
        )
    if config.remote_storage_enable:
        raise InvalidConfigError(
            "remote.storage.enable", "true", "tiered storage is not available; set it to false"
        )


assert {each.field_name for each in _DEFINITIONS} == {each.name for each in fields(LogConfig)}
