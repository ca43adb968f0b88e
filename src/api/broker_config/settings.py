"""Kafka 4.3's broker settings: those that work here, and those that are known but do not.

A setting that works has a row in BROKER_CONFIG_DEFS with its type, default, bounds and meaning.
The field of `BrokerConfig` that carries it is its name with `_` for `.`.  Settings that only give
topics their defaults (`log.retention.ms`) are carried as `BrokerConfig.log_config` instead.
"""

from dataclasses import dataclass, replace

from ...core.config_def import INT_MAX, LONG_MAX, ConfigDef, ConfigType
from ...core.log_config import TOPIC_CONFIG_DEFS

# How a setting may change while the broker runs, as Kafka documents it.
READ_ONLY = "read-only"
CLUSTER_WIDE = "cluster-wide"


@dataclass(frozen=True, slots=True)
class BrokerConfigDef(ConfigDef):
    """One broker setting; `default` is None where Kafka leaves it unset.

    `topic_config` names the topic setting whose default this one gives, and `topic_unit_ms` what
    one unit of it is there (an hour, in log.retention.hours).  One with `only_dynamic` is no part
    of server.properties: it is set while the broker runs, and described where it is set.
    """

    update_mode: str = READ_ONLY
    only_dynamic: bool = False
    topic_config: str | None = None
    topic_unit_ms: int = 1

    @property
    def is_dynamic(self) -> bool:
        """Whether it may be changed while the broker runs."""
        return self.update_mode != READ_ONLY

    @property
    def default_text(self) -> str | None:
        """The default as DescribeConfigs gives it."""
        return None if self.default is None else self.format(self.default)


_Bounds = tuple[float | None, float | None]
_ANY: _Bounds = (None, None)
_NATURAL: _Bounds = (0, None)
_POSITIVE: _Bounds = (1, None)

# name, type, default, (minimum, maximum), update mode, meaning
_Row = tuple[str, ConfigType, str | None, _Bounds, str, str]
# What brokers do among themselves.
_REPLICATION_ROWS: tuple[_Row, ...] = (
    (
        "replica.lag.time.max.ms",
        "long",
        "30000",
        _POSITIVE,
        READ_ONLY,
        "A follower that has not caught up for so long leaves the isr.",
    ),
    ("replica.fetch.max.bytes", "int", "1048576", _NATURAL, READ_ONLY, "Bytes of one partition."),
    ("replica.fetch.response.max.bytes", "int", "10485760", _NATURAL, READ_ONLY, "And of all."),
    ("replica.fetch.wait.max.ms", "int", "500", _POSITIVE, READ_ONLY, "Longest wait of a fetch."),
    ("replica.fetch.backoff.ms", "int", "1000", _NATURAL, READ_ONLY, "Pause after a failed one."),
    (
        "max.incremental.fetch.session.cache.slots",
        "int",
        "1000",
        _NATURAL,
        READ_ONLY,
        "How many incremental fetch sessions are kept.",
    ),
    (
        "controlled.shutdown.enable",
        "boolean",
        "true",
        _ANY,
        READ_ONLY,
        "Whether a broker that stops hands its partitions to others first.",
    ),
    (
        "auto.leader.rebalance.enable",
        "boolean",
        "true",
        _ANY,
        READ_ONLY,
        "Whether partitions go back to their preferred leaders by themselves.",
    ),
    (
        "leader.imbalance.check.interval.seconds",
        "long",
        "300",
        _POSITIVE,
        READ_ONLY,
        "How often that is looked at.",
    ),
    (
        "num.replica.alter.log.dirs.threads",
        "int",
        None,
        _POSITIVE,
        READ_ONLY,
        "How many replicas are moved between log.dirs at once; unset: as many as there are.",
    ),
    (
        "replication.quota.window.num",
        "int",
        "11",
        _POSITIVE,
        READ_ONLY,
        "Over how many windows the rate of throttled replicas is taken.",
    ),
    (
        "replication.quota.window.size.seconds",
        "int",
        "1",
        _POSITIVE,
        READ_ONLY,
        "How long each of them is.",
    ),
)
# Set and taken back by kafka-reassign-partitions.sh.
_THROTTLE_ROWS: tuple[_Row, ...] = (
    (
        "leader.replication.throttled.rate",
        "long",
        str(LONG_MAX),
        _NATURAL,
        CLUSTER_WIDE,
        "Bytes a second that throttled replicas may be sent by this broker, while out of sync.",
    ),
    (
        "follower.replication.throttled.rate",
        "long",
        str(LONG_MAX),
        _NATURAL,
        CLUSTER_WIDE,
        "Bytes a second that throttled replicas of this broker may fetch, while out of sync.",
    ),
    (
        "replica.alter.log.dirs.io.max.bytes.per.second",
        "long",
        str(LONG_MAX),
        _NATURAL,
        CLUSTER_WIDE,
        "Bytes a second that replicas may bring from one folder of log.dirs to another.",
    ),
)
_BROKER_ROWS: tuple[_Row, ...] = (
    ("node.id", "int", "-1", (-1, None), READ_ONLY, "This node's id; -1 takes broker.id, or 1."),
    ("broker.id", "int", "-1", (-1, None), READ_ONLY, "The older name of node.id."),
    ("broker.rack", "string", None, _ANY, READ_ONLY, "The rack of this broker."),
    ("process.roles", "list", "broker,controller", _ANY, READ_ONLY, "What this process does."),
    ("log.dir", "list", "/tmp/kafka-logs", _ANY, READ_ONLY, "Data folder if log.dirs is unset."),
    ("log.dirs", "list", None, _ANY, READ_ONLY, "Folders that hold the partitions."),
    ("listeners", "list", "PLAINTEXT://:9092", _ANY, READ_ONLY, "Where this broker listens."),
    ("advertised.listeners", "list", None, _ANY, READ_ONLY, "The addresses clients are told."),
    (
        "listener.security.protocol.map",
        "string",
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        _ANY,
        READ_ONLY,
        "Listener name to security protocol.",
    ),
    ("inter.broker.listener.name", "string", None, _ANY, READ_ONLY, "The listener of peers."),
    ("controller.listener.names", "list", None, _ANY, READ_ONLY, "Listeners not for clients."),
    (
        "controller.quorum.bootstrap.servers",
        "list",
        None,
        _ANY,
        READ_ONLY,
        "Where to look for the cluster; unset means this broker alone.",
    ),
    ("controller.quorum.voters", "list", None, _ANY, READ_ONLY, "The older way to say so."),
    (
        "headrace.replication.factor.clamp",
        "boolean",
        "false",
        _ANY,
        READ_ONLY,
        "Create a topic that asks for more replicas than there are brokers with one a broker.",
    ),
    (
        "headrace.link.silence.ms",
        "int",
        "600",
        (300, None),
        READ_ONLY,
        "A broker that sends nothing for so long counts as down: others are elected.",
    ),
    ("num.partitions", "int", "1", _POSITIVE, READ_ONLY, "Partitions of an auto-created topic."),
    ("default.replication.factor", "int", "1", _POSITIVE, READ_ONLY, "Replicas if not told."),
    ("auto.create.topics.enable", "boolean", "true", _ANY, READ_ONLY, "Create topics on use."),
    ("delete.topic.enable", "boolean", "true", _ANY, READ_ONLY, "Whether topics may be deleted."),
    (
        "max.request.partition.size.limit",
        "int",
        "2000",
        _POSITIVE,
        READ_ONLY,
        "Most partitions one DescribeTopicPartitions answer holds.",
    ),
    ("socket.request.max.bytes", "int", "104857600", _POSITIVE, READ_ONLY, "Longest request."),
    # Kafka's default is 50: more clients that come at once, after a restart, wait a second each.
    ("socket.listen.backlog.size", "int", "1024", _POSITIVE, READ_ONLY, "Connections in waiting."),
    ("max.connections", "int", str(INT_MAX), _NATURAL, CLUSTER_WIDE, "Most connections."),
    ("max.connections.per.ip", "int", str(INT_MAX), _NATURAL, CLUSTER_WIDE, "Most of one IP."),
    (
        "max.connections.per.ip.overrides",
        "string",
        "",
        _ANY,
        CLUSTER_WIDE,
        "max.connections.per.ip for some addresses: HOST:COUNT, comma separated.",
    ),
    ("connections.max.idle.ms", "long", "600000", _ANY, READ_ONLY, "Close connections so idle."),
    ("queued.max.request.bytes", "long", "-1", (-1, None), READ_ONLY, "Bytes read but unserved."),
    ("fetch.max.bytes", "int", "57671680", (1024, None), READ_ONLY, "Most bytes of one Fetch."),
    ("log.cleaner.enable", "boolean", "true", _ANY, READ_ONLY, "Whether compaction runs."),
    ("log.cleaner.backoff.ms", "long", "15000", _NATURAL, READ_ONLY, "Pause of compaction."),
    (
        "log.cleaner.dedupe.buffer.size",
        "long",
        "134217728",
        _POSITIVE,
        READ_ONLY,
        "Most bytes of the map from key to offset that compaction builds.",
    ),
    (
        "log.retention.check.interval.ms",
        "long",
        "300000",
        _POSITIVE,
        READ_ONLY,
        "How often old segments are looked for.",
    ),
    (
        "log.flush.scheduler.interval.ms",
        "long",
        str(LONG_MAX),
        _POSITIVE,
        READ_ONLY,
        "How often logs due for a flush are looked for.",
    ),
    (
        "log.flush.offset.checkpoint.interval.ms",
        "int",
        "60000",
        _NATURAL,
        READ_ONLY,
        "How often recovery points are written.",
    ),
    (
        "log.flush.start.offset.checkpoint.interval.ms",
        "int",
        "60000",
        _NATURAL,
        READ_ONLY,
        "How often log start offsets are written.",
    ),
    (
        "replica.high.watermark.checkpoint.interval.ms",
        "long",
        "5000",
        _POSITIVE,
        READ_ONLY,
        "How often high watermarks are written.",
    ),
    *_REPLICATION_ROWS,
    (
        "producer.id.expiration.ms",
        "int",
        "86400000",
        _POSITIVE,
        READ_ONLY,
        "How long an idle idempotent producer's last sequences are remembered.",
    ),
    (
        "producer.id.expiration.check.interval.ms",
        "int",
        "600000",
        _POSITIVE,
        READ_ONLY,
        "How often expired producers are looked for.",
    ),
    ("group.min.session.timeout.ms", "int", "6000", _ANY, READ_ONLY, "Shortest session.timeout."),
    ("group.max.session.timeout.ms", "int", "1800000", _ANY, READ_ONLY, "Longest session.timeout."),
    (
        "group.initial.rebalance.delay.ms",
        "int",
        "3000",
        _NATURAL,
        READ_ONLY,
        "How long an empty group waits for more members before its first rebalance.",
    ),
    ("group.max.size", "int", str(INT_MAX), _POSITIVE, READ_ONLY, "Most members of a group."),
    ("offset.metadata.max.bytes", "int", "4096", _NATURAL, READ_ONLY, "Most bytes of a note."),
    ("offsets.retention.minutes", "int", "10080", _POSITIVE, READ_ONLY, "Age of lost offsets."),
    (
        "offsets.commit.timeout.ms",
        "int",
        "5000",
        _POSITIVE,
        READ_ONLY,
        "How long a commit may wait for the in-sync replicas.",
    ),
    (
        "offsets.retention.check.interval.ms",
        "long",
        "600000",
        _POSITIVE,
        READ_ONLY,
        "How often expired offsets are looked for.",
    ),
    (
        "offsets.topic.num.partitions",
        "int",
        "50",
        _POSITIVE,
        READ_ONLY,
        "Partitions of __consumer_offsets, when it is created.",
    ),
    (
        "offsets.topic.replication.factor",
        "int",
        "3",
        (1, 32767),
        READ_ONLY,
        "Replicas of __consumer_offsets; fewer while there are fewer brokers.",
    ),
    (
        "offsets.topic.segment.bytes",
        "int",
        "104857600",
        _POSITIVE,
        READ_ONLY,
        "segment.bytes of __consumer_offsets.",
    ),
)

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
# Kafka leaves these unset and takes the hours instead.
_UNSET_BY_DEFAULT = {
    "log.flush.interval.ms",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
}
# Coarser names of a topic's default, which Kafka reads only when it starts; after `_MS` names.
_COARSE_ROWS: tuple[tuple[str, int | None, int, str, int], ...] = (
    ("log.retention.minutes", None, -1, "retention.ms", _MINUTE_MS),
    ("log.retention.hours", 168, -1, "retention.ms", _HOUR_MS),
    ("log.roll.hours", 168, 1, "segment.ms", _HOUR_MS),
    ("log.roll.jitter.hours", 0, 0, "segment.jitter.ms", _HOUR_MS),
)


def _broker_defs() -> dict[str, BrokerConfigDef]:
    defs: list[BrokerConfigDef] = []
    for row in _BROKER_ROWS + _THROTTLE_ROWS:
        name, kind, default, (low, high), mode, doc = row
        bare = BrokerConfigDef(
            name, kind, None, doc, low, high, update_mode=mode, only_dynamic=row in _THROTTLE_ROWS
        )
        defs.append(replace(bare, default=None if default is None else bare.parse(default)))
    defs += _topic_default_defs()
    for name, hours, low, topic_config, unit_ms in _COARSE_ROWS:
        doc = f"Default of the topic setting {topic_config}, in units of {unit_ms} ms."
        defs.append(
            BrokerConfigDef(
                name, "int", hours, doc, low, topic_config=topic_config, topic_unit_ms=unit_ms
            )
        )
    return {definition.name: definition for definition in defs}


def _topic_default_defs() -> list[BrokerConfigDef]:
    """The broker settings that a topic setting names as its synonym."""
    return [
        BrokerConfigDef(
            name=each.broker_synonym,
            type=each.type,
            default=None if each.broker_synonym in _UNSET_BY_DEFAULT else each.default,
            doc=f"Default of the topic setting {each.name}. {each.doc}",
            minimum=each.minimum,
            maximum=each.maximum,
            choices=each.choices,
            update_mode=CLUSTER_WIDE,
            topic_config=each.name,
        )
        for each in TOPIC_CONFIG_DEFS.values()
        if each.broker_synonym is not None and not each.name.startswith("local.")
    ]


BROKER_CONFIG_DEFS: dict[str, BrokerConfigDef] = _broker_defs()

# Topic setting -> its broker defaults, the one that wins first (log.retention.ms before .hours).
TOPIC_CONFIG_SYNONYMS: dict[str, tuple[BrokerConfigDef, ...]] = {
    name: tuple(d for d in BROKER_CONFIG_DEFS.values() if d.topic_config == name)
    for name in TOPIC_CONFIG_DEFS
}
