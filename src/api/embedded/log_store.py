"""`LogStore`: a folder of topics, open in this process."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ...core.errors import LogClosedError
from ...core.kafka_uuid import random_uuid
from ...core.log_config import parse_topic_configs
from ...raft import Partition, TopicImage
from ...raft.cluster_commands import (
    RESOURCE_TOPIC,
    AlterConfigs,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
)
from ...raft.errors import (
    ClusterStateError,
    InvalidPartitionsError,
    UnknownTopicOrPartitionError,
)
from .durability import PAGE_CACHE, Durability, parse_durability
from .errors import (
    ArgumentTypeError,
    InvalidArgumentError,
    refuse_idempotence,
    refuse_transactions,
)
from .flush_wait import FlushWait
from .inputs import as_text, as_topic_configs, as_whole
from .node import LocalNode, Node
from .topic import Topic

if TYPE_CHECKING:
    from ...core.log_verify import Finding
    from .async_store import AsyncLogStore


# More are refused before a list of them is made; far above what one folder can hold.
MAX_PARTITIONS = 1_000_000


def open_store(
    path: str | os.PathLike[str],
    *,
    mode: str = "w",
    durability: str = PAGE_CACHE,
    idempotent: bool = False,
    transactional_id: str | None = None,
) -> "LogStore":
    """Open a folder; see `headrace.open`."""
    if transactional_id is not None:
        refuse_transactions()
    if idempotent:
        refuse_idempotence()
    said = parse_durability(durability)
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError("path", path, "it must be a str or a pathlib.Path")
    if mode == "r":
        from .attached import AttachedNode

        attached: Any = AttachedNode(Path(path))
        return LogStore(attached, said)
    if mode != "w":
        raise InvalidArgumentError("mode", mode, 'it takes "w" to write and read, or "r" to read')
    node = LocalNode(Path(path), flush_interval_ms=said.flush_interval_ms)
    return LogStore(node, said)


class LogStore:
    """Topics of one folder, written and read in this process.  Any thread may use it.

    A context manager.  Every method raises LogClosedError after `close`; views that were read stay
    readable.
    """

    def __init__(self, node: Node, durability: Durability) -> None:
        """Made by `headrace.open` and by `Broker.store`."""
        self._node = node
        self._durability = durability

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LogStore {self.path}>"

    @property
    def aio(self) -> "AsyncLogStore":
        """The same store for asyncio: every call is awaited and blocks no loop."""
        from .async_store import AsyncLogStore

        return AsyncLogStore(lambda: self)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._node.path

    @property
    def cluster_id(self) -> str:
        """The id that the folder got when it was made; a broker that serves it shows it."""
        return self._node.cluster_id

    # -- topics

    def topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        config: Mapping[str, object] | None = None,
    ) -> Topic:
        """The topic, made if it is not there, with one partition where nothing is said.

        `config` holds Kafka's topic settings (`{"retention.ms": 86_400_000}`); they are laid over
        those of a topic that exists.  Raises InvalidConfigError, InvalidTopicError for a name that
        is none, InvalidPartitionsError where the topic has another number of partitions.
        """
        as_text(name, "name")
        if partitions is not None:
            partitions = as_whole(partitions, "partitions", least=1, most=MAX_PARTITIONS)
        texts = as_topic_configs(config)
        parse_topic_configs(texts)
        return self._node.run(lambda: self._get_or_create(name, partitions, texts))

    def __getitem__(self, name: str) -> Topic:
        """The topic; raises UnknownTopicOrPartitionError where it is not there."""
        return self._node.run(lambda: self._handle(self._image_of(name)))

    def __contains__(self, name: object) -> bool:
        return self._node.run(lambda: name in self._node.cluster_group.state.topics)

    def __iter__(self) -> Iterator[str]:
        """The topics' names, sorted; Kafka's internal ones left out."""
        return iter(self._node.run(self._topic_names))

    def __len__(self) -> int:
        return len(self._node.run(self._topic_names))

    def add_partitions(self, name: str, total: int) -> Topic:
        """The topic, grown to `total` partitions.  Keys then go elsewhere than before.

        Raises InvalidPartitionsError where it has as many or more.
        """
        count = as_whole(total, "total", most=MAX_PARTITIONS)
        return self._node.run(lambda: self._grow(name, count))

    def delete_topic(self, name: str) -> None:
        """Delete a topic and its records; views stay readable."""
        as_text(name, "name")
        self._node.run(lambda: self._propose(DeleteTopic(self._image_of(name).topic_id)))

    # -- groups

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset at which the consumer group goes on."""
        from .group_offsets import committed_offsets

        return committed_offsets(self._node, group)

    def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Set where a consumer group goes on; stored as Kafka's clients store it.

        Raises UnknownMemberIdError while consumers of the group are connected to a broker.
        """
        from .group_offsets import commit_offsets

        commit_offsets(self._node, group, offsets)

    # -- everything

    def transaction(self, *_: object, **__: object) -> NoReturn:
        """Raises UnsupportedOperationError, which says what comes near a transaction."""
        refuse_transactions()

    def flush(self) -> None:
        """Return when all that was appended before, to any topic, is on disk.

        A topic that is deleted meanwhile is not waited for.
        """
        for partition, wait in self._node.run(self._flush_all):
            try:
                wait.wait()
            except LogClosedError:
                if not partition.is_deleted:
                    raise

    def verify(self) -> list["Finding"]:
        """What is wrong with the files of this folder: every CRC, index and order is checked.

        Empty where all is sound.  Appending goes on meanwhile, so flush and pause first where the
        answer has to be about one moment.
        """
        from ...core.log_verify import verify_log_dir

        self.flush()
        return list(verify_log_dir(self.path))

    def close(self) -> None:
        """Sync, close and unlock; idempotent.  The next opening then scans nothing."""
        self._node.close()

    # -- where logs and journal may be touched

    def _topic_names(self) -> list[str]:
        topics = self._node.cluster_group.state.topics.values()
        return sorted(topic.name for topic in topics if not topic.is_internal)

    def _image_of(self, name: str) -> TopicImage:
        image = self._node.cluster_group.state.topics.get(name)
        if image is None:
            raise UnknownTopicOrPartitionError(
                f"there is no topic {name!r} in {self.path}; store.topic({name!r}) makes it",
                name,
            )
        return image

    def _handle(self, image: TopicImage) -> Topic:
        return Topic(self._node, image, self._partitions_of(image), self._durability)

    def _partitions_of(self, image: TopicImage) -> list[Partition]:
        replicas = self._node.replicas
        return [replicas.partition(image.name, index) for index in range(image.partition_count)]

    def _get_or_create(self, name: str, count: int | None, texts: Mapping[str, str]) -> Topic:
        image = self._node.cluster_group.state.topics.get(name)
        if image is None:
            return self._handle(self._create(name, 1 if count is None else count, texts))
        if count not in (None, image.partition_count):
            raise InvalidPartitionsError(
                f"{name} has {image.partition_count} partitions, not {count}; "
                f"store.add_partitions({name!r}, {count}) makes it larger"
            )
        changed = {key: text for key, text in texts.items() if image.configs.get(key) != text}
        if changed:
            parse_topic_configs({**image.configs, **changed})
            self._propose(AlterConfigs(RESOURCE_TOPIC, name, changed, ()))
        return self._handle(self._image_of(name))

    def _create(self, name: str, count: int, texts: Mapping[str, str]) -> TopicImage:
        node = self._node
        command = CreateTopic(
            name, random_uuid(node.clock), ((node.node_id,),) * count, tuple(texts.items())
        )
        image = self._propose(command)
        assert isinstance(image, TopicImage), image
        return image

    def _grow(self, name: str, total: int) -> Topic:
        image = self._image_of(name)
        added = total - image.partition_count
        if added <= 0:
            raise InvalidPartitionsError(
                f"{name} has {image.partition_count} partitions; it cannot shrink to {total}"
            )
        self._propose(CreatePartitions(image.topic_id, ((self._node.node_id,),) * added))
        return self._handle(self._image_of(name))

    def _propose(self, command: Command) -> Any:
        """The result of a command; with one voter it is there at once."""
        if isinstance(command, CreateTopic | CreatePartitions):
            self._node.check_room(len(command.assignments))
        results: list[Any] = []
        self._node.cluster_group.propose(command, results.append)
        assert results, command
        if isinstance(results[0], ClusterStateError):
            raise results[0]
        return results[0]

    def _flush_all(self) -> list[tuple[Partition, FlushWait]]:
        partitions: Iterable[Partition] = self._node.replicas.partitions()
        return [
            (each, self._node.start_flush(each))
            for each in partitions
            if each.log is not None and each.log.recovery_point < each.log.log_end_offset
        ]
