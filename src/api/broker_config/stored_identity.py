"""The node id that a data folder already carries, for a node that was not told its own."""

from dataclasses import replace

from ...core.checkpoint_file import META_PROPERTIES_NAME, PropertiesFile
from .config import BrokerConfig

_ID_NAMES = ("node.id", "broker.id")


def with_stored_node_id(config: BrokerConfig) -> BrokerConfig:
    """`config` with the id in meta.properties, unless the settings name one themselves.

    Raises CheckpointFormatError where meta.properties is no properties file.
    """
    if any(int(config.settings.get(name, "-1")) >= 0 for name in _ID_NAMES):
        return config
    for folder in config.log_dirs:
        stored = PropertiesFile(folder / META_PROPERTIES_NAME).read() or {}
        for name in _ID_NAMES:
            if stored.get(name, "").isdecimal():
                return replace(config, node_id=int(stored[name]))
    return config
