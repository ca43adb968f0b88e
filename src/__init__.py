"""headrace: a Kafka-compatible, Raft-replicated log for Python.

    with headrace.open("data") as store:
        store.topic("clicks").append(b"value", key=b"user-1")

Nothing is imported before it is used: `import headrace` costs next to nothing, and `open` imports
neither the server nor numpy.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.embedded.async_store import (
        AsyncLogStore,
        AsyncTail,
        AsyncTopic,
        AsyncTopicPartition,
    )
    from .api.embedded.broker import Broker
    from .api.embedded.columns import BinaryView, Record, RecordBatchView
    from .api.embedded.errors import (
        ArgumentError,
        ArgumentTypeError,
        InvalidArgumentError,
        ReadOnlyStoreError,
        UnsupportedOperationError,
    )
    from .api.embedded.log_store import LogStore
    from .api.embedded.receipt import Receipt
    from .api.embedded.tail import Tail
    from .api.embedded.topic import Topic
    from .api.embedded.topic_partition import TopicPartition
    from .api.embedded.unittest_case import BrokerTestCase
    from .core.errors import HeadraceError

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "AsyncLogStore",
    "AsyncTail",
    "AsyncTopic",
    "AsyncTopicPartition",
    "BinaryView",
    "Broker",
    "BrokerTestCase",
    "HeadraceError",
    "InvalidArgumentError",
    "LogStore",
    "ReadOnlyStoreError",
    "Receipt",
    "Record",
    "RecordBatchView",
    "Tail",
    "Topic",
    "TopicPartition",
    "UnsupportedOperationError",
    "__version__",
    "aopen",
    "open",
]

_HOMES = {
    "ArgumentError": "api.embedded.errors",
    "ArgumentTypeError": "api.embedded.errors",
    "AsyncLogStore": "api.embedded.async_store",
    "AsyncTail": "api.embedded.async_store",
    "AsyncTopic": "api.embedded.async_store",
    "AsyncTopicPartition": "api.embedded.async_store",
    "BinaryView": "api.embedded.columns",
    "Broker": "api.embedded.broker",
    "BrokerTestCase": "api.embedded.unittest_case",
    "HeadraceError": "core.errors",
    "InvalidArgumentError": "api.embedded.errors",
    "LogStore": "api.embedded.log_store",
    "ReadOnlyStoreError": "api.embedded.errors",
    "Receipt": "api.embedded.receipt",
    "Record": "api.embedded.columns",
    "RecordBatchView": "api.embedded.columns",
    "Tail": "api.embedded.tail",
    "Topic": "api.embedded.topic",
    "TopicPartition": "api.embedded.topic_partition",
    "UnsupportedOperationError": "api.embedded.errors",
}


def open(
    path: str | os.PathLike[str],
    *,
    mode: str = "w",
    durability: str = "page-cache",
    idempotent: bool = False,
    transactional_id: str | None = None,
) -> "LogStore":
    """The topics in the folder `path`, which is made if it is not there, open for writing.

    With mode="r" any number of processes read and follow a folder that another one writes, a broker
    included; every change then raises ReadOnlyStoreError.

    One process writes a folder at a time.  `durability` says when an append is done: "page-cache"
    (as Kafka: survives a killed process, not a power cut), "fsync", or "fsync-every=100ms"; a call
    may say otherwise for itself.

    Raises LogDirLockedError, which names the process that writes here; InconsistentLogDirError
    where the folder holds something else, or is one broker's part of a cluster; KafkaStorageError;
    InvalidConfigError for a durability that is none; UnsupportedOperationError where `idempotent`
    or a `transactional_id` is asked for, as Kafka's producers have them: its words say what an
    append has instead.
    """
    from .api.embedded.log_store import open_store

    return open_store(
        path,
        mode=mode,
        durability=durability,
        idempotent=idempotent,
        transactional_id=transactional_id,
    )


def aopen(
    path: str | os.PathLike[str],
    *,
    mode: str = "w",
    durability: str = "page-cache",
    idempotent: bool = False,
    transactional_id: str | None = None,
) -> "AsyncLogStore":
    """`open` for asyncio: `async with headrace.aopen("data") as store`, or `await` it.

    No call on it blocks the loop.
    """
    from .api.embedded.async_store import AsyncLogStore

    return AsyncLogStore(
        lambda: open(
            path,
            mode=mode,
            durability=durability,
            idempotent=idempotent,
            transactional_id=transactional_id,
        )
    )


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
