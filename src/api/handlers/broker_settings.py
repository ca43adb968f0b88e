"""Where this broker's settings are written, gathered for answers that must say so."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .config_entries import BrokerSettings

if TYPE_CHECKING:
    from ..broker import Broker


def broker_settings(broker: "Broker") -> BrokerSettings:
    """The settings of this broker: its own dynamic ones, those for all brokers, its file's."""
    state = broker.cluster_state
    return BrokerSettings(
        own=state.broker_configs(broker.node_id),
        for_all=state.broker_configs(""),
        static=with_both_ids(broker.config.settings),
    )


def with_both_ids(settings: Mapping[str, str]) -> dict[str, str]:
    """As in Kafka, whose tools find the id under its new name and its old one."""
    names = ("node.id", "broker.id")
    given = max((settings.get(name, "-1") for name in names), key=int)
    return {**settings, **(dict.fromkeys(names, given) if int(given) >= 0 else {})}
