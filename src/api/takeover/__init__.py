"""Taking over the folders of an Apache Kafka broker that was stopped."""

from .kafka_image import KafkaImage
from .metadata_log import METADATA_FOLDER, KafkaMetadataError, read_metadata
from .take_over import take_over

__all__ = ["METADATA_FOLDER", "KafkaImage", "KafkaMetadataError", "read_metadata", "take_over"]
