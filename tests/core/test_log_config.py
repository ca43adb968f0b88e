"""Topic settings: Kafka's names, defaults and bounds."""

import dataclasses

import pytest

from headrace.core.errors import InvalidConfigError
from headrace.core.log_config import (
    TOPIC_CONFIG_DEFS,
    LogConfig,
    parse_topic_configs,
    topic_config_text,
)


def test_every_field_has_a_definition_with_the_same_default() -> None:
    defaults = LogConfig()
    fields = {field.name for field in dataclasses.fields(LogConfig)}
    assert fields == {each.field_name for each in TOPIC_CONFIG_DEFS.values()}
    for name, definition in TOPIC_CONFIG_DEFS.items():
        assert topic_config_text(name, defaults) == definition.format(definition.default)


def test_overrides_lie_over_the_given_defaults() -> None:
    broker = LogConfig(retention_ms=1000, segment_bytes=5 << 20)
    config = parse_topic_configs(
        {"retention.ms": " -1 ", "cleanup.policy": "compact, delete"}, broker
    )
    assert config.retention_ms == -1
    assert config.segment_bytes == 5 << 20
    assert config.cleanup_policy == {"compact", "delete"}
    assert config.is_compacted
    assert config.is_deleted
    assert not LogConfig().is_compacted


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("retention.ms", "-2", "at least -1"),
        ("retention.ms", "soon", "whole number"),
        ("retention.ms", "9223372036854775808", "64 bits"),
        ("segment.bytes", "2147483648", "32 bits"),
        ("segment.bytes", "14", "at least 1048576"),
        ("cleanup.policy", "burn", "one of compact, delete"),
        ("compression.type", "GZIP", "one of uncompressed"),
        ("min.cleanable.dirty.ratio", "1.5", "at most 1"),
        ("min.cleanable.dirty.ratio", "nan", "at least 0"),
        ("preallocate", "yes", "true or false"),
        ("retention.mss", "1", "did you mean retention.ms"),
        ("message.format.version", "2.0", "dropped in Kafka 4"),
        ("remote.storage.enable", "true", "not available"),
    ],
)
def test_bad_value_names_setting_and_reason(name: str, text: str, reason: str) -> None:
    with pytest.raises(InvalidConfigError, match=reason) as caught:
        parse_topic_configs({name: text})
    assert caught.value.name == name


def test_compaction_lags_must_not_cross() -> None:
    with pytest.raises(InvalidConfigError, match=r"max\.compaction\.lag\.ms"):
        parse_topic_configs({"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9"})


def test_internal_segment_bytes_goes_below_the_bound() -> None:
    assert parse_topic_configs({"internal.segment.bytes": "1024"}).segment_bytes == 1024


def test_bounds_are_printed_as_kafka_prints_them() -> None:
    assert TOPIC_CONFIG_DEFS["segment.bytes"].validator_text == "[1048576,...]"
    assert TOPIC_CONFIG_DEFS["min.cleanable.dirty.ratio"].validator_text == "[0,...,1]"
    assert TOPIC_CONFIG_DEFS["cleanup.policy"].validator_text == "[compact, delete]"


def test_text_of_a_value_parses_back_to_it() -> None:
    config = LogConfig(cleanup_policy=frozenset(("compact", "delete")), preallocate=True)
    text = {name: topic_config_text(name, config) for name in TOPIC_CONFIG_DEFS}
    text["internal.segment.bytes"] = "0"
    assert parse_topic_configs(text) == config


@pytest.mark.parametrize("text", ["", "*", " * ", "0:1", "0:1, 12:3", "0:1,"])
def test_lists_of_throttled_replicas_are_pairs_or_a_star(text: str) -> None:
    name = "leader.replication.throttled.replicas"
    config = parse_topic_configs({name: text})
    words = [word.strip() for word in text.split(",") if word.strip()]
    assert config.leader_replication_throttled_replicas == tuple(words)


@pytest.mark.parametrize("text", ["0", "0:1,*", "a:1", "0:1:2", "0:", "-1:0", "0:1;1:1"])
def test_other_lists_of_throttled_replicas_are_refused(text: str) -> None:
    for name in ("leader", "follower"):
        with pytest.raises(InvalidConfigError, match="it takes '\\*' or a list of replicas"):
            parse_topic_configs({f"{name}.replication.throttled.replicas": text})
