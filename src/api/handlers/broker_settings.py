"""Where this broker's settings are written, gathered for answers that must say so."""

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
        static=broker.config.settings,
    )
