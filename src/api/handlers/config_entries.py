"""Settings as DescribeConfigs lists them: value, where it comes from, and what it hides (KIP-226).

An entry's synonyms are all values of the setting, the one that counts first:

    topic    its own override, then the broker settings that give it its default
    broker   its own dynamic value, that of all brokers, what it was started with, the default
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, dropwhile
from typing import Any

from ...core.config_def import ConfigDef
from ...core.log_config import TOPIC_CONFIG_DEFS, LogConfig, topic_config_text
from ..broker_config import BROKER_CONFIG_DEFS, TOPIC_CONFIG_SYNONYMS, BrokerConfigDef


class ConfigSource(IntEnum):
    """Where a value comes from."""

    TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5


class ConfigType(IntEnum):
    """The type of a setting, as numbered on the wire."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """The three places where a broker's settings are written."""

    own: Mapping[str, str]
    for_all: Mapping[str, str]
    static: Mapping[str, str]

    def synonyms_of(self, definition: BrokerConfigDef) -> list[dict[str, Any]]:
        """Every value of one broker setting and of its coarser names, the one that counts first.

        As in Kafka there are none before the first of that very name: where log.retention.hours
        alone is set, log.retention.ms has no synonyms, and retention.ms of a topic is a default.
        """
        same = TOPIC_CONFIG_SYNONYMS.get(definition.topic_config or "") or (definition,)
        values = chain.from_iterable(map(self._values_of, same))
        return list(dropwhile(lambda value: value["name"] != definition.name, values))

    def _values_of(self, definition: BrokerConfigDef) -> Iterator[dict[str, Any]]:
        name = definition.name
        for source, settings in (
            (ConfigSource.DYNAMIC_BROKER, self.own),
            (ConfigSource.DYNAMIC_DEFAULT_BROKER, self.for_all),
            (ConfigSource.STATIC_BROKER, self.static),
        ):
            if name in settings:
                yield _synonym(name, settings[name], source)
        if definition.default_text is not None:
            yield _synonym(name, definition.default_text, ConfigSource.DEFAULT)


def topic_entries(
    overrides: Mapping[str, str],
    config: LogConfig,
    broker: BrokerSettings,
    names: Iterable[str] | None = None,
) -> list[dict[str, Any]]:
    """The entries of one topic whose settings in force are `config`; only `names`, if given."""
    entries = []
    for definition in _selected(TOPIC_CONFIG_DEFS, names):
        if definition.is_internal and definition.name not in overrides:
            continue
        synonyms = []
        if definition.name in overrides:
            text = overrides[definition.name]
            synonyms.append(_synonym(definition.name, text, ConfigSource.TOPIC))
        for broker_definition in TOPIC_CONFIG_SYNONYMS[definition.name][:1]:
            synonyms += broker.synonyms_of(broker_definition)
        value = topic_config_text(definition.name, config)
        entries.append(_entry(definition, value, synonyms, is_read_only=False))
    return entries


def broker_entries(
    broker: BrokerSettings, names: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """The entries of one broker."""
    entries = []
    for definition in _selected(BROKER_CONFIG_DEFS, names):
        assert isinstance(definition, BrokerConfigDef), definition
        synonyms = broker.synonyms_of(definition)
        if definition.only_dynamic and synonyms[0]["source"] == ConfigSource.DEFAULT:
            continue  # as in Kafka, whose brokers have it only while it is set
        value = synonyms[0]["value"] if synonyms else None
        read_only = not definition.is_dynamic
        entries.append(_entry(definition, value, synonyms, is_read_only=read_only))
    return entries


def broker_default_entries(
    for_all: Mapping[str, str], names: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """The dynamic settings of all brokers: only those that are set."""
    entries = []
    for definition in _selected(BROKER_CONFIG_DEFS, names):
        if definition.name in for_all:
            value = for_all[definition.name]
            synonym = _synonym(definition.name, value, ConfigSource.DYNAMIC_DEFAULT_BROKER)
            entries.append(_entry(definition, value, [synonym], is_read_only=False))
    return entries


def _selected(known: Mapping[str, ConfigDef], names: Iterable[str] | None) -> Iterator[ConfigDef]:
    wanted = None if names is None else set(names)
    return (known[name] for name in sorted(known) if wanted is None or name in wanted)


def _synonym(name: str, value: str, source: ConfigSource) -> dict[str, Any]:
    return {"name": name, "value": value, "source": int(source)}


def _entry(
    definition: ConfigDef, value: str | None, synonyms: list[dict[str, Any]], *, is_read_only: bool
) -> dict[str, Any]:
    return {
        "name": definition.name,
        "value": value,
        "read_only": is_read_only,
        "config_source": synonyms[0]["source"] if synonyms else int(ConfigSource.DEFAULT),
        "is_sensitive": False,
        "synonyms": synonyms,
        "config_type": int(ConfigType[definition.type.upper()]),
        "documentation": definition.doc,
    }
