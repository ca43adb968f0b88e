"""The JSON files of kafka-reassign-partitions.sh, read and written as Kafka does."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ....core.errors import HeadraceError
from ..cluster_admin import Place
from ..replica_log_dirs import ANY_LOG_DIR, Replica
from .options import parse_ids

_VERSION = 1


def name_of(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


def joined(places: Iterable[Place]) -> str:
    return ",".join(map(name_of, places))


def _document(path: Path) -> Any:
    try:
        document = json.loads(path.read_text())
    except OSError:
        raise HeadraceError(f"Unable to read file {path}") from None
    except ValueError:
        raise HeadraceError("The input string is not a valid JSON") from None
    version = _typed(_object(document).get("version", _VERSION), int)
    if version != _VERSION:
        raise HeadraceError(f"Not supported version field value {version}")
    return document


_TYPE_NAMES = {int: "Integer", str: "String", list: "List"}


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise HeadraceError(f"Expected `{_TYPE_NAMES[kind]}` value, received {json.dumps(value)}")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise HeadraceError(f"Expected JSON object, received {json.dumps(value)}")
    return value


def _field(row: Any, name: str, kind: type) -> Any:
    if name not in _object(row):
        raise HeadraceError(f"No such field exists: `{name}`")
    return _typed(row[name], kind)


def _items(row: Any, name: str, kind: type) -> list[Any]:
    return [_typed(each, kind) for each in _field(row, name, list)]


def _rows(path: Path) -> list[tuple[Place, list[int], list[str]]]:
    """Each partition with its brokers and, a broker, the folder named for it."""
    rows = []
    for row in _typed(_document(path).get("partitions", []), list):
        place = _field(row, "topic", str), _field(row, "partition", int)
        replicas = _items(row, "replicas", int)
        any_where = "log_dirs" not in row
        log_dirs = [ANY_LOG_DIR] * len(replicas) if any_where else _items(row, "log_dirs", str)
        if len(replicas) != len(log_dirs):
            raise HeadraceError(
                f"Size of replicas list {replicas} is different from size of log dirs list "
                f"[{', '.join(log_dirs)}] for partition {name_of(place)}"
            )
        rows.append((place, replicas, log_dirs))
    return rows


def read_log_dirs(path: Path) -> dict[Replica, str]:
    """Replica -> the folder it shall be in, for those that may not be in any."""
    return {
        Replica(*place, broker): log_dir
        for place, replicas, log_dirs in _rows(path)
        for broker, log_dir in zip(replicas, log_dirs, strict=True)
        if log_dir != ANY_LOG_DIR
    }


def read_targets(path: Path) -> dict[Place, list[int]]:
    """Partition -> the brokers that shall hold it, as --verify and --cancel take it."""
    return {place: replicas for place, replicas, _ in _rows(path)}


def read_new_targets(path: Path) -> dict[Place, list[int]]:
    """The same for --execute; raises for what Kafka refuses."""
    rows = [(place, replicas) for place, replicas, _ in _rows(path)]
    if not rows:
        raise HeadraceError("Partition reassignment list cannot be empty")
    if not all(replicas for _, replicas in rows):
        raise HeadraceError("Partition replica list cannot be empty")
    places = [place for place, _ in rows]
    repeated = sorted({place for place in places if places.count(place) > 1})
    if repeated:
        raise HeadraceError(
            f"Partition reassignment contains duplicate topic partitions: {joined(repeated)}"
        )
    for place, replicas in rows:
        twice = sorted({each for each in replicas if replicas.count(each) > 1})
        if twice:
            raise HeadraceError(
                "Partition replica lists may not contain duplicate entries: "
                f"{name_of(place)} contains multiple entries for {','.join(map(str, twice))}"
            )
    return dict(rows)


def read_topics(path: Path) -> list[str]:
    """The topics of --topics-to-move-json-file."""
    rows = _typed(_document(path).get("topics", []), list)
    topics = [_field(row, "topic", str) for row in rows]
    repeated = sorted({topic for topic in topics if topics.count(topic) > 1})
    if repeated:
        raise HeadraceError(
            f"List of topics to reassign contains duplicate entries: [{', '.join(repeated)}]"
        )
    return topics


def parse_brokers(text: str) -> list[int]:
    """`0,1,2` of --broker-list."""
    brokers = parse_ids(text)
    repeated = sorted({broker for broker in brokers if brokers.count(broker) > 1})
    if repeated:
        raise HeadraceError(
            f"Broker list contains duplicate entries: [{', '.join(map(str, repeated))}]"
        )
    return brokers


def as_json(
    assignment: Mapping[Place, list[int]], log_dirs: Mapping[Replica, str] | None = None
) -> str:
    """In one line, the partitions in order, as Kafka prints it."""
    named = log_dirs or {}
    rows = [
        {
            "topic": topic,
            "partition": partition,
            "replicas": replicas,
            "log_dirs": [
                named.get(Replica(topic, partition, broker), ANY_LOG_DIR) for broker in replicas
            ],
        }
        for (topic, partition), replicas in sorted(assignment.items())
    ]
    return json.dumps({"version": _VERSION, "partitions": rows}, separators=(",", ":"))
