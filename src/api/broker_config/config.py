"""`BrokerConfig`: what a `server.properties` file, or `headrace up`, says about one broker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...core.config_def import INT_MAX, LONG_MAX
from ...core.errors import InvalidConfigError
from ...core.log_config import LogConfig, parse_topic_configs, unknown_config_reason
from .java_properties import parse_java_properties
from .known_names import ONLY_DYNAMIC, describe_without_effect
from .listeners import (
    Listener,
    advertise,
    check_protocols,
    inter_broker_listener,
    parse_listeners,
    parse_protocol_map,
    parse_servers,
)
from .settings import BROKER_CONFIG_DEFS, TOPIC_CONFIG_SYNONYMS
from .without_effect import NO_EFFECT_DEFS

DEFAULT_NODE_ID = 1
_DEFAULT_LISTENER = Listener("PLAINTEXT", "localhost", 9092)


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """The settings of one broker, checked; each field is Kafka's name with `_` for `.`.

    `listeners` and `advertised_listeners` are parallel and hold what clients may use; `log_config`
    is what a topic gets that sets nothing itself (log.retention.ms, message.max.bytes and so on);
    `settings` is what was set explicitly, as text, for DescribeConfigs.
    """

    node_id: int = DEFAULT_NODE_ID
    broker_rack: str | None = None
    process_roles: tuple[str, ...] = ("broker", "controller")
    log_dirs: tuple[Path, ...] = (Path("/tmp/kafka-logs"),)
    listeners: tuple[Listener, ...] = (_DEFAULT_LISTENER,)
    advertised_listeners: tuple[Listener, ...] = (_DEFAULT_LISTENER,)
    controller_listeners: tuple[Listener, ...] = ()
    inter_broker_listener_name: str = _DEFAULT_LISTENER.name
    controller_quorum_bootstrap_servers: tuple[str, ...] = ()
    headrace_replication_factor_clamp: bool = False
    headrace_link_silence_ms: int = 600
    num_partitions: int = 1
    default_replication_factor: int = 1
    auto_create_topics_enable: bool = True
    delete_topic_enable: bool = True
    max_request_partition_size_limit: int = 2000
    socket_request_max_bytes: int = 104_857_600
    socket_listen_backlog_size: int = 1024
    max_connections: int = INT_MAX
    max_connections_per_ip: int = INT_MAX
    max_connections_per_ip_overrides: Mapping[str, int] = field(default_factory=dict)
    connections_max_idle_ms: int = 600_000
    queued_max_request_bytes: int = -1
    fetch_max_bytes: int = 57_671_680
    log_cleaner_enable: bool = True
    log_cleaner_backoff_ms: int = 15_000
    log_cleaner_dedupe_buffer_size: int = 134_217_728
    log_retention_check_interval_ms: int = 300_000
    log_flush_scheduler_interval_ms: int = LONG_MAX
    log_flush_offset_checkpoint_interval_ms: int = 60_000
    log_flush_start_offset_checkpoint_interval_ms: int = 60_000
    replica_high_watermark_checkpoint_interval_ms: int = 5_000
    replica_lag_time_max_ms: int = 30_000
    replica_fetch_max_bytes: int = 1_048_576
    replica_fetch_response_max_bytes: int = 10_485_760
    replica_fetch_wait_max_ms: int = 500
    replica_fetch_backoff_ms: int = 1_000
    max_incremental_fetch_session_cache_slots: int = 1_000
    controlled_shutdown_enable: bool = True
    auto_leader_rebalance_enable: bool = True
    leader_imbalance_check_interval_seconds: int = 300
    replication_quota_window_num: int = 11
    replication_quota_window_size_seconds: int = 1
    leader_replication_throttled_rate: int = LONG_MAX
    follower_replication_throttled_rate: int = LONG_MAX
    replica_alter_log_dirs_io_max_bytes_per_second: int = LONG_MAX
    num_replica_alter_log_dirs_threads: int | None = None
    producer_id_expiration_ms: int = 86_400_000
    producer_id_expiration_check_interval_ms: int = 600_000
    group_min_session_timeout_ms: int = 6_000
    group_max_session_timeout_ms: int = 1_800_000
    group_initial_rebalance_delay_ms: int = 3_000
    group_max_size: int = INT_MAX
    offset_metadata_max_bytes: int = 4_096
    offsets_retention_minutes: int = 10_080
    offsets_commit_timeout_ms: int = 5_000
    offsets_retention_check_interval_ms: int = 600_000
    offsets_topic_num_partitions: int = 50
    offsets_topic_replication_factor: int = 3
    offsets_topic_segment_bytes: int = 104_857_600
    log_config: LogConfig = field(default_factory=LogConfig)
    settings: Mapping[str, str] = field(default_factory=dict)


def topic_defaults(settings: Mapping[str, str]) -> dict[str, str]:
    """Topic setting -> text, for those whose default these broker settings change."""
    defaults: dict[str, str] = {}
    for topic_config, synonyms in TOPIC_CONFIG_SYNONYMS.items():
        for definition in synonyms:
            text = settings.get(definition.name)
            if text is not None:
                defaults[topic_config] = _in_topic_units(text, definition.topic_unit_ms)
                break
    return defaults


def _in_topic_units(text: str, unit_ms: int) -> str:
    """Hours or minutes as milliseconds; -1 (no limit) stays what it is."""
    if unit_ms == 1 or int(text) < 0:
        return text
    return str(int(text) * unit_ms)


# Fields whose value is not simply the setting's own, see `_composed`.
_QUORUM = "controller.quorum.bootstrap.servers"
_COMPOSED = {
    "node.id",
    "broker.id",
    "log.dir",
    "log.dirs",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "controller.listener.names",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "max.connections.per.ip.overrides",
    "process.roles",
}


def make_broker_config(settings: Mapping[str, str]) -> BrokerConfig:
    """The config that supported settings, given as text, describe; InvalidConfigError else."""
    fields: dict[str, object] = {}
    for name, text in settings.items():
        definition = BROKER_CONFIG_DEFS.get(name)
        if definition is None:
            raise InvalidConfigError(name, text, unknown_config_reason(name, BROKER_CONFIG_DEFS))
        if definition.only_dynamic:
            raise InvalidConfigError(name, text, ONLY_DYNAMIC)
        value = definition.parse(text)
        if name not in _COMPOSED and definition.topic_config is None:
            fields[definition.field_name] = value
    fields.update(_composed(settings))
    config = BrokerConfig(**fields, settings=dict(settings))  # type: ignore[arg-type]
    _check_lag(config)
    return config


def _check_lag(config: BrokerConfig) -> None:
    """As Kafka: a follower that may wait longer than it may lag would leave the isr for nothing."""
    longest_ms = config.replica_lag_time_max_ms
    if config.replica_fetch_wait_max_ms > longest_ms:
        raise InvalidConfigError(
            "replica.fetch.wait.max.ms",
            str(config.replica_fetch_wait_max_ms),
            f"it may not be above replica.lag.time.max.ms, which is {longest_ms}",
        )


def _composed(settings: Mapping[str, str]) -> dict[str, object]:
    fields: dict[str, object] = {
        "node_id": _node_id(settings),
        "process_roles": _process_roles(settings),
        "log_config": parse_topic_configs(topic_defaults(settings)),
    }
    folders = settings.get("log.dirs") or settings.get("log.dir")
    if folders is not None:
        fields["log_dirs"] = _log_dirs(folders)
    overrides = settings.get("max.connections.per.ip.overrides")
    if overrides:
        fields["max_connections_per_ip_overrides"] = connection_overrides(overrides)
    fields.update(_listeners(settings))
    parse_servers(_QUORUM, settings.get(_QUORUM, ""))
    return fields


def _node_id(settings: Mapping[str, str]) -> int:
    given = {
        name: int(settings[name])
        for name in ("node.id", "broker.id")
        if int(settings.get(name, "-1")) >= 0
    }
    if len(set(given.values())) > 1:
        raise InvalidConfigError(
            "broker.id", settings["broker.id"], f"node.id says {given['node.id']}; give one of them"
        )
    return next(iter(given.values()), DEFAULT_NODE_ID)


def _process_roles(settings: Mapping[str, str]) -> tuple[str, ...]:
    text = settings.get("process.roles", "")
    roles = tuple(part.strip() for part in text.split(",") if part.strip())
    for role in roles:
        if role not in ("broker", "controller"):
            raise InvalidConfigError("process.roles", text, "must be broker, controller or both")
    if roles and "broker" not in roles:
        raise InvalidConfigError(
            "process.roles", text, "a node that is no broker is not supported; add broker"
        )
    return roles or ("broker", "controller")


def _log_dirs(text: str) -> tuple[Path, ...]:
    folders = tuple(Path(part.strip()) for part in text.split(",") if part.strip())
    if not folders:
        raise InvalidConfigError("log.dirs", text, "name at least one folder")
    if len({folder.absolute() for folder in folders}) < len(folders):
        raise InvalidConfigError("log.dirs", text, "a folder is named twice")
    return folders


def connection_overrides(text: str) -> dict[str, int]:
    """max.connections.per.ip.overrides: address -> most connections; may be empty."""
    limits: dict[str, int] = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        host, separator, count = entry.rpartition(":")
        if not separator or not host or not count.isdecimal():
            raise InvalidConfigError(
                "max.connections.per.ip.overrides", text, f"'{entry}' is not HOST:COUNT"
            )
        limits[host.strip("[]")] = int(count)
    return limits


def _listeners(settings: Mapping[str, str]) -> dict[str, object]:
    """Client and controller listeners, and what is advertised for the former."""
    controller_text = settings.get("controller.listener.names", "")
    controllers = {part.strip().upper() for part in controller_text.split(",") if part.strip()}
    map_text = settings.get("listener.security.protocol.map")
    default_map = BROKER_CONFIG_DEFS["listener.security.protocol.map"].default or ""
    protocols = parse_protocol_map(default_map if map_text is None else map_text)
    for name in controllers:  # Kafka: a controller listener left out of the map is PLAINTEXT
        protocols.setdefault(name, "PLAINTEXT")
    text = settings.get("listeners", "PLAINTEXT://:9092")
    every = parse_listeners("listeners", text, protocols)
    check_protocols("listeners", text, every)
    clients = tuple(listener for listener in every if listener.name not in controllers)
    if not clients:
        raise InvalidConfigError("listeners", text, "no listener is left for clients")
    return {
        "listeners": clients,
        "advertised_listeners": advertise(
            clients, settings.get("advertised.listeners"), protocols, controllers
        ),
        "inter_broker_listener_name": inter_broker_listener(
            clients, settings.get("inter.broker.listener.name")
        ),
        "controller_listeners": tuple(item for item in every if item.name in controllers),
    }


def parse_server_properties(
    source: str | Path, overrides: Mapping[str, str] | None = None
) -> tuple[BrokerConfig, list[str]]:
    """The config of a `server.properties` (its text, or its path) and the warnings to print.

    `overrides` (from `--override name=value`) win over the file.  A value of the wrong type or
    outside its bounds raises InvalidConfigError; OSError when the file cannot be read.
    """
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    given = {**parse_java_properties(text), **(overrides or {})}
    given, warnings = _without_port(given)
    _refuse_authorizer(given)
    supported = {
        name: value
        for name, value in given.items()
        if name in BROKER_CONFIG_DEFS and not BROKER_CONFIG_DEFS[name].only_dynamic
    }
    settings = {
        name: value
        for name, value in supported.items()
        if value or BROKER_CONFIG_DEFS[name].default == ""
    }
    for name, value in given.items():
        if name in NO_EFFECT_DEFS:
            NO_EFFECT_DEFS[name].parse(value)
    warnings += describe_without_effect([name for name in given if name not in supported])
    config = make_broker_config(settings)
    warnings += _cluster_warnings(settings)
    return config, warnings


def _without_port(given: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """`port` and `host.name`, which Kafka dropped but tutorials still name, as a listener."""
    if "port" not in given:
        return given, []
    rest = {name: value for name, value in given.items() if name not in ("port", "host.name")}
    if "listeners" in given:
        return rest, ["port is ignored: listeners is given"]
    host = given.get("host.name", "")
    listener = f"PLAINTEXT://{host}:{given['port'].strip()}"
    rest["listeners"] = listener
    return rest, [f"port is the old way to say listeners={listener}"]


def _refuse_authorizer(given: dict[str, str]) -> None:
    """An authorizer that is not obeyed would leave open what its owner believes is closed."""
    authorizer = given.pop("authorizer.class.name", "")
    if authorizer:
        raise InvalidConfigError(
            "authorizer.class.name",
            authorizer,
            "access control is not supported yet; remove the line to let every client do all",
        )


def _cluster_warnings(settings: Mapping[str, str]) -> list[str]:
    """The older way to name a cluster's controllers is not followed: its ports are not ours."""
    voters = [part for part in settings.get("controller.quorum.voters", "").split(",") if part]
    if len(voters) < 2 or settings.get("controller.quorum.bootstrap.servers"):
        return []
    return [
        f"controller.quorum.voters names {len(voters)} nodes; this broker runs on its own unless "
        "controller.quorum.bootstrap.servers names a listener of the others"
    ]


def config_from_up(
    data: Path,
    listen: str = "127.0.0.1:9092",
    advertise_as: str | None = None,
    overrides: Mapping[str, str] | None = None,
) -> BrokerConfig:
    """The config of `headrace up`: one folder, one listener, and no delay for new groups.

    `overrides` are settings of `server.properties`; one that is not supported is refused.
    """
    settings = {
        "log.dirs": str(data),
        "listeners": f"PLAINTEXT://{_host_and_port('--listen', listen)}",
        "group.initial.rebalance.delay.ms": "0",
    }
    if advertise_as is not None:
        told = _host_and_port("--advertise", advertise_as)
        settings["advertised.listeners"] = f"PLAINTEXT://{told}"
    settings.update(overrides or {})
    try:
        return make_broker_config(settings)
    except InvalidConfigError as error:
        if error.name == "listeners" and advertise_as is None and "every interface" in str(error):
            raise InvalidConfigError(
                "--listen", listen, "give --advertise HOST:PORT, the address clients shall use"
            ) from None
        raise


def _host_and_port(option: str, text: str) -> str:
    """`text`, a HOST:PORT, a lone HOST or a lone :PORT or PORT, as HOST:PORT."""
    if text.isdecimal():
        return f"127.0.0.1:{text}"
    if text.startswith(":") and text[1:].isdecimal():
        return f"127.0.0.1{text}"
    host, separator, port = text.rpartition(":")
    if separator and port.isdecimal() and host:
        return text
    if text and ":" not in text:
        return f"{text}:9092"
    raise InvalidConfigError(option, text, "is not HOST:PORT, for example 127.0.0.1:9092")


def named_listeners(listeners: Sequence[Listener]) -> str:
    """The listeners as Kafka writes them, comma separated."""
    return ",".join(str(listener) for listener in listeners)
