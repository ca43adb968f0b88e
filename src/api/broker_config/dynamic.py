"""Broker settings changed while the broker runs, laid over those it was started with.

Of several values of one setting the first counts: the broker's own dynamic value, the dynamic value
for all brokers, the one it was started with, the default.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.errors import InvalidConfigError
from ...core.log_config import parse_topic_configs, unknown_config_reason
from .config import BrokerConfig, connection_overrides, topic_defaults
from .settings import BROKER_CONFIG_DEFS


def with_dynamic_settings(
    started_with: BrokerConfig, for_all: Mapping[str, str], for_this: Mapping[str, str]
) -> BrokerConfig:
    """`started_with` under the dynamic settings; its `settings` stay those it was started with."""
    settings = {**for_all, **for_this}
    changes: dict[str, Any] = {}
    for name, text in settings.items():
        definition = BROKER_CONFIG_DEFS[name]
        value = definition.parse(text)
        if name == "max.connections.per.ip.overrides":
            value = connection_overrides(text)
        if definition.topic_config is None:
            changes[definition.field_name] = value
    changes["log_config"] = parse_topic_configs(topic_defaults(settings), started_with.log_config)
    return replace(started_with, **changes)


def check_dynamic_settings(
    started_with: BrokerConfig, for_all: Mapping[str, str], for_this: Mapping[str, str]
) -> None:
    """Refuses, by InvalidConfigError, a setting that may not change, or its value."""
    for name, value in {**for_all, **for_this}.items():
        definition = BROKER_CONFIG_DEFS.get(name)
        if definition is None:
            raise InvalidConfigError(name, value, unknown_config_reason(name, BROKER_CONFIG_DEFS))
        if not definition.is_dynamic:
            raise InvalidConfigError(
                name, value, "cannot change while the broker runs; write it to server.properties"
            )
    with_dynamic_settings(started_with, for_all, for_this)
