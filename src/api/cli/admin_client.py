"""What commands ask of a cluster: each verb goes to the broker that may answer it.

Plain values go in and come out; a refusal by the broker is an `AdminError` with the code's name.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import HeadraceError
from ...core.kafka_uuid import uuid_to_text
from ..wire.api_keys import ApiKey
from ..wire.error_codes import ErrorCode
from .broker_connection import SILENCE_S, BrokerConnection, BrokerUnreachableError

TOPIC_RESOURCE = 2
BROKER_RESOURCE = 4
GROUP_RESOURCE = 32
EARLIEST = -2
LATEST = -1
# From the next version on these two name topics by id, which a person does not type.
OFFSET_API_MAX_VERSION = 9


class AdminError(HeadraceError):
    """A broker refused; `code` is Kafka's error code and `subject` what it was asked about."""

    def __init__(self, code: int, subject: str, message: str | None = None) -> None:
        self.code = ErrorCode(code)
        self.subject = subject
        self.message = message or self.code.message
        super().__init__(f"{subject}: {self.message} ({self.code.name})")


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """One partition as Metadata tells it; `leader` is -1 where there is none.

    While it moves `replicas` have those to come and those to leave; which they are, only
    `cluster_admin.with_moves` tells.  `elr` and `last_known_elr` are None before
    `cluster_admin.with_elr` has asked, and where the broker does not tell.
    """

    index: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline_replicas: tuple[int, ...]
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()
    elr: tuple[int, ...] | None = None
    last_known_elr: tuple[int, ...] | None = None

    @property
    def replication_factor(self) -> int:
        """How many copies it is to have; a move may end between two questions."""
        return len({*self.replicas, *self.adding, *self.removing}) - len(self.adding)

    @property
    def is_under_replicated(self) -> bool:
        """Whether copies are not in sync, those that are only to come aside: as Kafka counts."""
        return len(self.isr) < self.replication_factor

    @property
    def target(self) -> tuple[int, ...]:
        """Who holds it, or is to once it has moved."""
        return tuple(each for each in self.replicas if each not in self.removing)


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """One topic as Metadata tells it, its partitions in order."""

    name: str
    topic_id: bytes
    is_internal: bool
    partitions: tuple[PartitionInfo, ...]

    @property
    def topic_id_text(self) -> str:
        return uuid_to_text(self.topic_id)

    @property
    def replication_factor(self) -> int:
        return self.partitions[0].replication_factor if self.partitions else 0


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One setting of a topic or broker; `source` is Kafka's number (1 topic, 5 default)."""

    name: str
    value: str | None
    source: int
    is_sensitive: bool
    is_read_only: bool
    synonyms: tuple[tuple[str, str | None, int], ...]


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A group's committed position in one partition."""

    topic: str
    partition: int
    offset: int
    metadata: str
    leader_epoch: int = -1


def parse_bootstrap(text: str) -> list[tuple[str, int]]:
    """`host:port,host:port` as pairs; the port is 9092 where it is not given."""
    addresses = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        host, colon, port = part.rpartition(":")
        if not colon:
            host, port = part, "9092"
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise BrokerUnreachableError(part, "the address must be HOST:PORT")
        addresses.append((host.strip("[]") or "localhost", int(port)))
    if not addresses:
        raise BrokerUnreachableError(text or "(empty)", "the address must be HOST:PORT")
    return addresses


def check(code: int, subject: str, message: str | None = None) -> None:
    """Raises AdminError for any code but NONE."""
    if code != ErrorCode.NONE:
        raise AdminError(code, subject, message)


class AdminClient:
    """The administration of one cluster over a connection a broker, opened when first needed."""

    def __init__(
        self, bootstrap: str, *, timeout_s: float = 30.0, client_id: str = "headrace-cli"
    ) -> None:
        self.timeout_s = timeout_s
        self._client_id = client_id
        self._bootstrap = parse_bootstrap(bootstrap)
        self._connections: dict[tuple[str, int], BrokerConnection] = {}
        self._nodes: dict[int, tuple[str, int]] = {}

    def __enter__(self) -> "AdminClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    @property
    def timeout_ms(self) -> int:
        return int(self.timeout_s * 1000)

    # -- whom to ask ------------------------------------------------------------------------------

    def any_broker(self) -> BrokerConnection:
        """A connection to the first bootstrap address that answers.

        One that is silent for a while (a stopped process still takes connections) is asked last
        from then on, and waited for only where no other answers.
        """
        failure: BrokerUnreachableError | None = None
        silent: list[tuple[str, int]] = []
        for address in self._bootstrap:
            try:
                connection = self._connect(address)
                is_last = len(silent) + 1 == len(self._bootstrap)
                if is_last or connection.answers_within(SILENCE_S):
                    self._ask_last(silent)
                    return connection
            except BrokerUnreachableError as error:
                failure = failure or error
            else:
                silent.append(address)
                print(f"headrace: {connection.address} does not answer", file=sys.stderr)
        if silent:
            return self._connect(silent[0])
        assert failure is not None
        raise failure

    def _ask_last(self, silent: list[tuple[str, int]]) -> None:
        for address in silent:
            self._bootstrap.remove(address)
            self._bootstrap.append(address)

    def broker(self, node_id: int) -> BrokerConnection:
        """A connection to one broker by its id."""
        if node_id not in self._nodes:
            self.metadata([])
        if node_id not in self._nodes:
            raise AdminError(ErrorCode.BROKER_NOT_AVAILABLE, f"broker {node_id}")
        return self._connect(self._nodes[node_id])

    def controller(self) -> BrokerConnection:
        controller_id = self.metadata([])["controller_id"]
        return self.broker(controller_id) if controller_id >= 0 else self.any_broker()

    def coordinator(self, group: str) -> BrokerConnection:
        return self.find_coordinator(group)[1]

    def find_coordinator(self, group: str) -> tuple[int, BrokerConnection]:
        """The broker that coordinates `group`: its id and a connection to it."""
        answer = self.any_broker().request(
            ApiKey.FIND_COORDINATOR,
            {"key": group, "key_type": 0, "coordinator_keys": [group]},
        )
        row = answer["coordinators"][0] if answer.get("coordinators") else answer
        check(row["error_code"], f"group {group}", row.get("error_message"))
        return row["node_id"], self._connect((row["host"], row["port"]))

    def _connect(self, address: tuple[str, int]) -> BrokerConnection:
        if address not in self._connections:
            self._connections[address] = BrokerConnection(
                *address,
                timeout_s=self.timeout_s,
                client_id=self._client_id,
                on_silence=_tell_silence,
            )
        return self._connections[address]

    # -- topics -----------------------------------------------------------------------------------

    def metadata(self, topics: Iterable[str] | None = None) -> dict[str, Any]:
        """Metadata as decoded, of `topics` or (None) of all; never creates a topic."""
        wanted = None if topics is None else [{"name": name} for name in topics]
        answer = self.any_broker().request(
            ApiKey.METADATA, {"topics": wanted, "allow_auto_topic_creation": False}
        )
        self._nodes = {row["node_id"]: (row["host"], row["port"]) for row in answer["brokers"]}
        return answer

    def topics(self, names: Iterable[str] | None = None) -> list[TopicInfo]:
        """Topics by name in order; a name that does not exist raises AdminError."""
        found = []
        for row in self.metadata(names)["topics"]:
            is_unknown = row["error_code"] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            check(
                row["error_code"],
                f"topic {row['name']}",
                "there is none of this name; `headrace topics list` names them all"
                if is_unknown
                else None,
            )
            partitions = tuple(
                PartitionInfo(
                    part["partition_index"],
                    part["leader_id"],
                    part.get("leader_epoch", -1),
                    tuple(part["replica_nodes"]),
                    tuple(part["isr_nodes"]),
                    tuple(part.get("offline_replicas", ())),
                )
                for part in sorted(row["partitions"], key=lambda part: part["partition_index"])
            )
            found.append(
                TopicInfo(
                    row["name"],
                    row.get("topic_id", bytes(16)),
                    row.get("is_internal", False),
                    partitions,
                )
            )
        return sorted(found, key=lambda topic: topic.name)

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = -1,
        replication_factor: int = -1,
        assignment: Mapping[int, list[int]] | None = None,
        configs: Mapping[str, str] | None = None,
        validate_only: bool = False,
    ) -> None:
        """Creates a topic; -1 leaves a number to the broker's default."""
        topic = {
            "name": name,
            "num_partitions": -1 if assignment else partitions,
            "replication_factor": -1 if assignment else replication_factor,
            "assignments": [
                {"partition_index": index, "broker_ids": brokers}
                for index, brokers in (assignment or {}).items()
            ],
            "configs": [{"name": key, "value": value} for key, value in (configs or {}).items()],
        }
        answer = self.controller().request(
            ApiKey.CREATE_TOPICS,
            {"topics": [topic], "timeout_ms": self.timeout_ms, "validate_only": validate_only},
        )
        row = answer["topics"][0]
        check(row["error_code"], f"topic {name}", row.get("error_message"))

    def delete_topic(self, name: str) -> None:
        answer = self.controller().request(
            ApiKey.DELETE_TOPICS,
            {
                "topics": [{"name": name, "topic_id": bytes(16)}],
                "topic_names": [name],
                "timeout_ms": self.timeout_ms,
            },
        )
        row = answer["responses"][0]
        check(row["error_code"], f"topic {name}", row.get("error_message"))

    def add_partitions(self, name: str, total: int) -> None:
        """Grows a topic to `total` partitions."""
        answer = self.controller().request(
            ApiKey.CREATE_PARTITIONS,
            {
                "topics": [{"name": name, "count": total, "assignments": None}],
                "timeout_ms": self.timeout_ms,
                "validate_only": False,
            },
        )
        row = answer["results"][0]
        check(row["error_code"], f"topic {name}", row.get("error_message"))

    # -- settings ---------------------------------------------------------------------------------

    def configs(self, resource_type: int, name: str) -> list[ConfigEntry]:
        """Every setting of a topic or broker, by name in order."""
        asked = self._config_broker(resource_type, name)
        answer = asked.request(
            ApiKey.DESCRIBE_CONFIGS,
            {
                "resources": [
                    {
                        "resource_type": resource_type,
                        "resource_name": name,
                        "configuration_keys": None,
                    }
                ],
                "include_synonyms": True,
                "include_documentation": False,
            },
        )
        row = answer["results"][0]
        check(row["error_code"], _resource_words(resource_type, name), row.get("error_message"))
        entries = [
            ConfigEntry(
                config["name"],
                config["value"],
                config.get("config_source", -1),
                config["is_sensitive"],
                config["read_only"],
                tuple(
                    (synonym["name"], synonym["value"], synonym["source"])
                    for synonym in config.get("synonyms", ())
                ),
            )
            for config in row["configs"]
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def alter_configs(
        self,
        resource_type: int,
        name: str,
        *,
        sets: Mapping[str, str],
        deletes: Iterable[str] = (),
        appends: Mapping[str, str] | None = None,
    ) -> None:
        """Changes single settings and leaves the others (KIP-339)."""
        operations = [
            *({"name": key, "config_operation": 0, "value": value} for key, value in sets.items()),
            *({"name": key, "config_operation": 1, "value": None} for key in deletes),
            *(
                {"name": key, "config_operation": 2, "value": value}
                for key, value in (appends or {}).items()
            ),
        ]
        answer = self._config_broker(resource_type, name).request(
            ApiKey.INCREMENTAL_ALTER_CONFIGS,
            {
                "resources": [
                    {"resource_type": resource_type, "resource_name": name, "configs": operations}
                ],
                "validate_only": False,
            },
        )
        row = answer["responses"][0]
        check(row["error_code"], _resource_words(resource_type, name), row.get("error_message"))

    def _config_broker(self, resource_type: int, name: str) -> BrokerConnection:
        if resource_type == BROKER_RESOURCE and name.isdigit():
            return self.broker(int(name))
        return self.any_broker()

    # -- offsets and records ----------------------------------------------------------------------

    def list_offsets(
        self, topics: Iterable[TopicInfo], timestamp: int, *, isolation_level: int = 0
    ) -> dict[tuple[str, int], int]:
        """(topic, partition) -> offset for a time in ms or one of Kafka's -1..-6; -1 where none.

        Partitions without a leader are left out.
        """
        by_leader: dict[int, dict[str, list[int]]] = {}
        for topic in topics:
            for part in topic.partitions:
                if part.leader >= 0:
                    by_leader.setdefault(part.leader, {}).setdefault(topic.name, []).append(
                        part.index
                    )
        offsets = {}
        for leader, wanted in by_leader.items():
            body = {
                "replica_id": -1,
                "isolation_level": isolation_level,
                "topics": [
                    {
                        "name": name,
                        "partitions": [
                            {"partition_index": index, "timestamp": timestamp} for index in indexes
                        ],
                    }
                    for name, indexes in wanted.items()
                ],
            }
            answer = self.broker(leader).request(ApiKey.LIST_OFFSETS, body)
            for topic in answer["topics"]:
                for part in topic["partitions"]:
                    subject = f"{topic['name']}-{part['partition_index']}"
                    check(part["error_code"], subject)
                    offsets[topic["name"], part["partition_index"]] = part["offset"]
        return offsets

    def delete_records(self, offsets: Mapping[tuple[str, int], int]) -> list[dict[str, Any]]:
        """Deletes what lies before each offset; rows of topic, partition, low_watermark, error."""
        by_leader: dict[int, dict[str, list[dict[str, int]]]] = {}
        leaders = {
            (topic.name, part.index): part.leader
            for topic in self.topics()  # of all: one that is not there is refused by itself
            for part in topic.partitions
        }
        rows: list[dict[str, Any]] = []
        for (name, index), offset in offsets.items():
            if leaders.get((name, index), -1) < 0:
                rows.append(_record_row(name, index, -1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
                continue
            wanted = by_leader.setdefault(leaders[name, index], {}).setdefault(name, [])
            wanted.append({"partition_index": index, "offset": offset})
        for leader, topics in by_leader.items():
            answer = self.broker(leader).request(
                ApiKey.DELETE_RECORDS,
                {
                    "topics": [{"name": name, "partitions": p} for name, p in topics.items()],
                    "timeout_ms": self.timeout_ms,
                },
            )
            rows += [
                _record_row(
                    topic["name"],
                    part["partition_index"],
                    part["low_watermark"],
                    ErrorCode(part["error_code"]),
                )
                for topic in answer["topics"]
                for part in topic["partitions"]
            ]
        return sorted(rows, key=lambda row: (row["topic"], row["partition"]))

    def log_dirs(self, node_id: int) -> list[dict[str, Any]]:
        """DescribeLogDirs of one broker, as decoded."""
        answer = self.broker(node_id).request(ApiKey.DESCRIBE_LOG_DIRS, {"topics": None})
        check(answer.get("error_code", 0), f"broker {node_id}")
        results: list[dict[str, Any]] = answer["results"]
        return results


def _tell_silence(address: str) -> None:
    print(f"headrace: waiting for an answer from {address}", file=sys.stderr)


def _record_row(topic: str, partition: int, low_watermark: int, error: ErrorCode) -> dict[str, Any]:
    return {
        "topic": topic,
        "partition": partition,
        "low_watermark": low_watermark,
        "error": error.name,
    }


def _resource_words(resource_type: int, name: str) -> str:
    return f"{'topic' if resource_type == TOPIC_RESOURCE else 'broker'} {name}"
