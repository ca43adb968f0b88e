"""The settings of one broker: Kafka's names, types, bounds; `server.properties` and `up`."""

from .config import (
    BrokerConfig,
    config_from_up,
    make_broker_config,
    named_listeners,
    parse_server_properties,
)
from .dynamic import check_dynamic_settings, with_dynamic_settings
from .listeners import Listener, parse_servers
from .settings import BROKER_CONFIG_DEFS, TOPIC_CONFIG_SYNONYMS, BrokerConfigDef
from .stored_identity import with_stored_node_id

__all__ = [
    "BROKER_CONFIG_DEFS",
    "TOPIC_CONFIG_SYNONYMS",
    "BrokerConfig",
    "BrokerConfigDef",
    "Listener",
    "check_dynamic_settings",
    "config_from_up",
    "make_broker_config",
    "named_listeners",
    "parse_server_properties",
    "parse_servers",
    "with_dynamic_settings",
    "with_stored_node_id",
]
