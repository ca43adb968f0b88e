"""`server.properties`, overrides and `headrace up` become one checked BrokerConfig."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from headrace.api.broker_config import (
    BROKER_CONFIG_DEFS,
    BrokerConfig,
    check_dynamic_settings,
    config_from_up,
    make_broker_config,
    parse_server_properties,
    parse_servers,
    with_dynamic_settings,
)
from headrace.core.config_def import LONG_MAX
from headrace.core.errors import InvalidConfigError

KAFKA_4_QUICKSTART = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL
num.network.threads=3
num.io.threads=8
log.dirs=/tmp/kraft-combined-logs
num.partitions=3
offsets.topic.replication.factor=1
log.retention.hours=168
log.segment.bytes=1073741824
"""
KAFKA_2_QUICKSTART = """
broker.id=0
log.dirs=/tmp/kafka-logs
zookeeper.connect=localhost:2181
zookeeper.connection.timeout.ms=18000
group.initial.rebalance.delay.ms=0
"""


def test_defaults_of_the_dataclass_are_those_of_the_settings_table() -> None:
    config = BrokerConfig()
    checked = 0
    for name, definition in BROKER_CONFIG_DEFS.items():
        value = getattr(config, definition.field_name, None)
        if definition.topic_config is None and isinstance(value, int | bool):
            assert value == definition.default or name == "node.id", name
            checked += 1
    assert checked > 30


def test_every_supported_setting_has_a_field_or_is_composed_into_one() -> None:
    composed = {
        "broker.id",
        "log.dir",
        "listener.security.protocol.map",
        "controller.listener.names",
        "controller.quorum.voters",
    }
    have = {each.name for each in fields(BrokerConfig)}
    for name, definition in BROKER_CONFIG_DEFS.items():
        if definition.topic_config is None and name not in composed:
            assert definition.field_name in have, name


def test_make_without_settings_equals_the_dataclass_defaults() -> None:
    assert make_broker_config({}) == BrokerConfig()


def test_kafka_4_quickstart_file_is_a_complete_configuration() -> None:
    config, warnings = parse_server_properties(KAFKA_4_QUICKSTART)
    assert config.node_id == 1
    assert [str(each) for each in config.listeners] == ["PLAINTEXT://localhost:9092"]
    assert [str(each) for each in config.advertised_listeners] == ["PLAINTEXT://localhost:9092"]
    assert [str(each) for each in config.controller_listeners] == ["CONTROLLER://localhost:9093"]
    assert config.log_dirs == (Path("/tmp/kraft-combined-logs"),)
    assert config.num_partitions == 3
    assert warnings == ["known, but without effect here: num.network.threads, num.io.threads"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("num.io.threads=0", "at least 1"),
        ("num.io.threads=many", "whole number"),
        ("num.network.threads=", "whole number"),
        ("background.threads=3000000000", "32 bits"),
        ("log.cleaner.io.max.bytes.per.second=fast", "takes a number"),
        ("unstable.api.versions.enable=yes", "true or false"),
        ("metadata.log.segment.bytes=1000", "at least 8388608"),
        ("security.inter.broker.protocol=TLS", "one of PLAINTEXT, SSL"),
    ],
)
def test_setting_without_effect_is_still_checked(line: str, reason: str) -> None:
    with pytest.raises(InvalidConfigError, match=reason):
        parse_server_properties(line)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("foo", "'foo' is not HOST:PORT, for example localhost:9092"),
        ("localhost:9092,:9093", "':9093' is not HOST:PORT"),
        ("localhost:99999", "port 99999 is not between 1 and 65535"),
        ("localhost:0", "port 0 is not"),
        ("PLAINTEXT://localhost:9092", "is not HOST:PORT"),
        ("0@localhost:9092", "is not HOST:PORT, without a node's id, for example localhost:9092"),
    ],
)
def test_addresses_of_the_cluster_that_are_none_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidConfigError, match=re.escape(reason)):
        parse_server_properties(f"controller.quorum.bootstrap.servers={text}")


def test_addresses_of_the_cluster_are_taken_apart() -> None:
    named = " a.example:1, [::1]:65535,"
    assert parse_servers("servers", named) == (("a.example", 1), ("::1", 65535))


def test_settings_without_effect_are_named_in_one_line() -> None:
    _, warnings = parse_server_properties("queued.max.requests=9\nbackground.threads=4")
    assert warnings == ["known, but without effect here: queued.max.requests, background.threads"]
    _, warnings = parse_server_properties("replica.socket.timeout=9")
    assert warnings[0].startswith("replica.socket.timeout is no setting of a broker")


def test_zookeeper_settings_are_answered_with_one_line_that_says_what_replaces_them() -> None:
    config, warnings = parse_server_properties(KAFKA_2_QUICKSTART)
    assert config.node_id == 0
    assert config.group_initial_rebalance_delay_ms == 0
    assert len(warnings) == 1
    assert "controller.quorum.bootstrap.servers" in warnings[0]


def test_unknown_name_is_warned_about_with_the_nearest_known_one() -> None:
    _, warnings = parse_server_properties("num.partition=3\nqwzx=1")
    assert warnings == [
        "num.partition is no setting of a broker, it is ignored; did you mean num.partitions?",
        "qwzx is no setting of a broker, it is ignored",
    ]


def test_settings_of_lacking_features_are_named_by_feature() -> None:
    text = "sasl.enabled.mechanisms=PLAIN\nssl.key.password=x\ntransaction.max.timeout.ms=5"
    text += "\nsuper.users=User:root"
    _, warnings = parse_server_properties(text)
    assert warnings == [
        "not supported (SASL), ignored: sasl.enabled.mechanisms",
        "not supported (TLS), ignored: ssl.key.password",
        "not supported (transactions), ignored: transaction.max.timeout.ms",
        "not supported (access control), ignored: super.users",
    ]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("num.partitions=0", "num.partitions"),
        ("num.partitions=many", "num.partitions"),
        ("auto.create.topics.enable=yes", "auto.create.topics.enable"),
        ("log.cleanup.policy=keep", "log.cleanup.policy"),
        ("log.cleaner.min.cleanable.ratio=nan", "log.cleaner.min.cleanable.ratio"),
        ("log.retention.hours=9999999999", "log.retention.hours"),
        ("listeners=9092", "listeners"),
        ("listeners=PLAINTEXT://:99999", "listeners"),
        ("listeners=SSL://:9092", "listeners"),
        ("listeners=EXTERNAL://:9092", "listeners"),
        ("listeners=PLAINTEXT://:9092,PLAINTEXT://:9093", "listeners"),
        ("process.roles=controller", "process.roles"),
        ("process.roles=king", "process.roles"),
        ("broker.id=1\nnode.id=2", "broker.id"),
        ("max.connections.per.ip.overrides=here", "max.connections.per.ip.overrides"),
        ("authorizer.class.name=org.apache.Acl", "authorizer.class.name"),
        ("log.dirs=/a,/b,/a", "log.dirs"),
        ("listener.security.protocol.map=PLAINTEXT", "listener.security.protocol.map"),
    ],
)
def test_bad_value_is_an_error_that_names_its_setting(line: str, named: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        parse_server_properties(line)
    assert caught.value.name == named
    assert str(caught.value).startswith(f"{named}=")


def test_listener_on_every_interface_needs_an_advertised_one() -> None:
    with pytest.raises(InvalidConfigError, match="must say which address") as caught:
        parse_server_properties("listeners=PLAINTEXT://0.0.0.0" + ":9092")
    assert caught.value.name == "listeners"
    config, _ = parse_server_properties(
        "listeners=PLAINTEXT://0.0.0.0" + ":9092\nadvertised.listeners=PLAINTEXT://box:9092"
    )
    assert config.listeners[0].is_wildcard
    assert config.advertised_listeners[0].address == "box:9092"


def test_advertised_listener_must_itself_be_an_address() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        parse_server_properties("advertised.listeners=PLAINTEXT://0.0.0.0" + ":9092")
    assert caught.value.name == "advertised.listeners"


def test_ipv6_listener_keeps_its_brackets_in_the_address() -> None:
    config, _ = parse_server_properties("listeners=PLAINTEXT://[::1]:9092")
    assert config.listeners[0].host == "::1"
    assert str(config.listeners[0]) == "PLAINTEXT://[::1]:9092"


def test_old_port_setting_becomes_a_listener() -> None:
    config, warnings = parse_server_properties("port=9095")
    assert str(config.listeners[0]) == "PLAINTEXT://localhost:9095"
    assert warnings == ["port is the old way to say listeners=PLAINTEXT://:9095"]


def test_log_dirs_win_over_log_dir() -> None:
    config, _ = parse_server_properties("log.dir=/one\nlog.dirs=/two, /three")
    assert config.log_dirs == (Path("/two"), Path("/three"))
    assert parse_server_properties("log.dir=/one")[0].log_dirs == (Path("/one"),)


def test_finest_unit_of_a_retention_wins() -> None:
    hours, _ = parse_server_properties("log.retention.hours=1")
    assert hours.log_config.retention_ms == 3_600_000
    minutes, _ = parse_server_properties("log.retention.hours=1\nlog.retention.minutes=1")
    assert minutes.log_config.retention_ms == 60_000
    finest, _ = parse_server_properties("log.retention.ms=5\nlog.retention.minutes=1")
    assert finest.log_config.retention_ms == 5
    unlimited, _ = parse_server_properties("log.retention.hours=-1")
    assert unlimited.log_config.retention_ms == -1


def test_broker_defaults_reach_the_topic_settings() -> None:
    text = "message.max.bytes=2000\nlog.cleanup.policy=compact,delete\nmin.insync.replicas=2"
    config, _ = parse_server_properties(text)
    assert config.log_config.max_message_bytes == 2000
    assert config.log_config.cleanup_policy == {"compact", "delete"}
    assert config.log_config.min_insync_replicas == 2


def test_override_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "server.properties"
    path.write_text("num.partitions=1\nnode.id=7\n")
    config, _ = parse_server_properties(path, {"num.partitions": "4"})
    assert (config.num_partitions, config.node_id) == (4, 7)


def test_up_listens_on_this_machine_only_and_lets_groups_start_at_once(tmp_path: Path) -> None:
    config = config_from_up(tmp_path)
    assert str(config.listeners[0]) == "PLAINTEXT://127.0.0.1:9092"
    assert config.group_initial_rebalance_delay_ms == 0
    assert config.log_dirs == (tmp_path,)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("9095", "127.0.0.1:9095"),
        (":9095", "127.0.0.1:9095"),
        ("localhost", "localhost:9092"),
        ("[::1]:1", "[::1]:1"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ],
)
def test_up_takes_short_forms_of_an_address(tmp_path: Path, listen: str, address: str) -> None:
    assert config_from_up(tmp_path, listen).listeners[0].address == address


def test_up_on_every_interface_names_the_option_that_is_missing(tmp_path: Path) -> None:
    everywhere = "0.0.0.0" + ":9092"
    with pytest.raises(InvalidConfigError, match="--advertise HOST:PORT"):
        config_from_up(tmp_path, everywhere)
    config = config_from_up(tmp_path, everywhere, "box:9092")
    assert config.advertised_listeners[0].address == "box:9092"


def test_up_takes_settings_by_name_and_refuses_those_it_does_not_know(tmp_path: Path) -> None:
    config = config_from_up(tmp_path, overrides={"num.partitions": "3"})
    assert config.num_partitions == 3
    with pytest.raises(InvalidConfigError, match=r"did you mean num\.partitions"):
        config_from_up(tmp_path, overrides={"num.partition": "3"})


def test_up_refuses_what_is_no_address(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="--listen"):
        config_from_up(tmp_path, "a:b:c")


def test_dynamic_settings_lie_over_those_the_broker_was_started_with() -> None:
    started_with, _ = parse_server_properties("log.retention.hours=1\nmax.connections=5")
    for_all = {"log.retention.ms": "70", "max.connections": "6"}
    config = with_dynamic_settings(started_with, for_all, {"max.connections": "7"})
    assert config.log_config.retention_ms == 70
    assert config.max_connections == 7
    assert config.settings == started_with.settings
    assert with_dynamic_settings(started_with, {}, {}) == started_with


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num.partitions": "3"}, "cannot change while the broker runs"),
        ({"num.partition": "3"}, "did you mean num.partitions"),
        ({"message.max.bytes": "-1"}, "must be at least 0"),
        ({"max.connections.per.ip.overrides": "x"}, "is not HOST:COUNT"),
    ],
)
def test_dynamic_setting_that_cannot_be_is_refused(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidConfigError, match=reason):
        check_dynamic_settings(BrokerConfig(), settings, {})


def test_a_setting_that_is_only_dynamic_is_no_part_of_a_file() -> None:
    name = "follower.replication.throttled.rate"
    config, warnings = parse_server_properties(f"{name}=1000")
    assert config.follower_replication_throttled_rate == LONG_MAX
    (warning,) = warnings
    assert warning.startswith(f"{name} is ignored: it is set while the broker runs")
    with pytest.raises(InvalidConfigError, match="while the broker runs"):
        make_broker_config({name: "1000"})
    changed = with_dynamic_settings(config, {name: "7"}, {name: "1000"})
    assert changed.follower_replication_throttled_rate == 1000
    with pytest.raises(InvalidConfigError, match="at least 0"):
        check_dynamic_settings(config, {}, {name: "-1"})
