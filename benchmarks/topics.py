"""Topics for the loads, made with confluent-kafka."""

from typing import Any

from .peers.install import PeerUnavailableError
from .peers.peer import RunningPeer

# librdkafka's log level for errors: what it tells of itself is no result.
QUIET = 3


def _client(peer: RunningPeer) -> Any:
    from confluent_kafka.admin import AdminClient

    return AdminClient({"bootstrap.servers": peer.bootstrap, "log_level": QUIET})


def create_topic(
    peer: RunningPeer,
    name: str,
    partitions: int = 1,
    *,
    replicas: int = 1,
    configs: dict[str, str] | None = None,
) -> None:
    """Creates a topic where it is not there yet."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    topic = NewTopic(name, partitions, replicas, config=configs or {})
    client = _client(peer)
    try:
        client.create_topics([topic])[name].result(30)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise PeerUnavailableError(str(error.args[0])) from None


def create_ready_topic(
    peer: RunningPeer, name: str, partitions: int = 1, *, replicas: int = 1
) -> None:
    """As `create_topic`, and each leader took a record: for loads that do not try again."""
    from confluent_kafka import Producer

    create_topic(peer, name, partitions, replicas=replicas)
    failures: list[object] = []

    def note(error: object, message: object) -> None:
        if error is not None:
            failures.append(error)

    settings = {"bootstrap.servers": peer.bootstrap, "acks": "all", "log_level": QUIET}
    producer = Producer(settings)
    for partition in range(partitions):
        producer.produce(name, b"x" * 100, partition=partition, on_delivery=note)
    if producer.flush(60) or failures:
        raise PeerUnavailableError(f"{name}: not every partition took a record {failures[:1]}")


def delete_topic(peer: RunningPeer, name: str) -> None:
    from confluent_kafka import KafkaException

    client = _client(peer)
    try:
        client.delete_topics([name])[name].result(60)
    except KafkaException as error:
        raise PeerUnavailableError(f"{name} was not deleted: {error.args[0]}") from None
