"""What Kafka's metadata log adds up to: topics, settings, producer ids, and what we cannot keep."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .metadata_log import KafkaMetadataError, MetadataRecord

TOPIC_RESOURCE = 2
BROKER_RESOURCE = 4

# Record types whose content is lost, and what a person calls it.
_LOST = {
    10: "delegation tokens",
    11: "SCRAM credentials",
    14: "client quotas",
    18: "access control entries",
}
_LOST_RESOURCES = {8: "broker loggers", 16: "client metrics subscriptions", 32: "group settings"}


@dataclass(slots=True)
class KafkaPartition:
    """A partition as Kafka's controller last had it."""

    replicas: list[int]
    leader_epoch: int


@dataclass(slots=True)
class KafkaTopic:
    """A topic of Kafka's; `partitions` by their index."""

    name: str
    topic_id: bytes
    partitions: dict[int, KafkaPartition] = field(default_factory=dict)


@dataclass(slots=True)
class KafkaImage:
    """The state of a Kafka cluster; `apply` its records in order."""

    topics: dict[bytes, KafkaTopic] = field(default_factory=dict)
    topic_configs: dict[str, dict[str, str]] = field(default_factory=dict)
    broker_configs: dict[str, dict[str, str]] = field(default_factory=dict)
    next_producer_id: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, records: Iterable[MetadataRecord]) -> "KafkaImage":
        """The image that `records` add up to; raises KafkaMetadataError."""
        image = cls()
        for record in records:
            try:
                image.apply(record)
            except KeyError as error:
                raise KafkaMetadataError(
                    f"Kafka's metadata contradicts itself at offset {record.offset}: "
                    f"a {record.kind} speaks of {error}, which is not there"
                ) from error
        return image

    def topic_named(self, name: str) -> KafkaTopic | None:
        """The topic of this name."""
        return next((topic for topic in self.topics.values() if topic.name == name), None)

    def apply(self, record: MetadataRecord) -> None:
        """Take one record in."""
        if record.type_id in _LOST:
            self.lost[_LOST[record.type_id]] += 1
        body = record.body
        if body is None:
            return
        match record.kind:
            case "TopicRecord":
                topic_id = body["topic_id"]
                self.topics[topic_id] = KafkaTopic(body["name"], topic_id)
            case "RemoveTopicRecord":
                removed = self.topics.pop(body["topic_id"], None)
                if removed is not None:
                    self.topic_configs.pop(removed.name, None)
            case "PartitionRecord":
                partition = KafkaPartition(list(body["replicas"]), body["leader_epoch"])
                self.topics[body["topic_id"]].partitions[body["partition_id"]] = partition
            case "PartitionChangeRecord":
                self._change_partition(body)
            case "ConfigRecord":
                self._change_config(body)
            case "ProducerIdsRecord":
                self.next_producer_id = max(self.next_producer_id, body["next_producer_id"])

    def _change_partition(self, body: dict[str, Any]) -> None:
        partition = self.topics[body["topic_id"]].partitions[body["partition_id"]]
        if body["replicas"] is not None:
            partition.replicas = list(body["replicas"])
        if body["leader"] != -2:  # -2: the leader stays; every other value is a new epoch
            partition.leader_epoch += 1

    def _change_config(self, body: dict[str, Any]) -> None:
        resource_type, name, value = body["resource_type"], body["name"], body["value"]
        if resource_type == TOPIC_RESOURCE:
            table = self.topic_configs
        elif resource_type == BROKER_RESOURCE:
            table = self.broker_configs
        else:
            self.lost[_LOST_RESOURCES.get(resource_type, "settings of unknown resources")] += 1
            return
        settings = table.setdefault(body["resource_name"], {})
        if value is None:
            settings.pop(name, None)
        else:
            settings[name] = value
