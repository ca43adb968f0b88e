"""kafka-leader-election.sh: elects preferred or unclean leaders of partitions."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ....core.errors import HeadraceError
from ...wire.error_codes import ErrorCode
from .. import cluster_admin
from ..admin_client import AdminError
from ..cluster_admin import Place, Refusal
from .options import admin, exception_name, make_parser

ELECTION_TYPES = {"PREFERRED": cluster_admin.PREFERRED, "UNCLEAN": cluster_admin.UNCLEAN}
_SCOPES = ("topic", "all_topic_partitions", "path_to_json_file")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "kafka-leader-election", "Attempts to elect a new leader for a set of topic partitions."
    )
    parser.add_argument("--bootstrap-server", metavar="host:port")
    parser.add_argument("--command-config", "--admin.config", type=Path, metavar="Config file")
    parser.add_argument("--path-to-json-file", type=Path, metavar="Path to JSON file")
    parser.add_argument("--topic", metavar="topic name")
    parser.add_argument("--partition", type=int, metavar="partition id")
    parser.add_argument("--all-topic-partitions", action="store_true")
    parser.add_argument("--election-type", type=_election_type, metavar="election type")
    return parser


def _election_type(text: str) -> str:
    if text.upper() not in ELECTION_TYPES:
        raise argparse.ArgumentTypeError(f"{text}: preferred or unclean")
    return text.upper()


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    try:
        _check_options(args)
        places = _places(args)
        with admin(args) as client:
            kind = ELECTION_TYPES[args.election_type]
            return _report(args.election_type, cluster_admin.elect_leaders(client, kind, places))
    except AdminError as error:
        print(f"{exception_name(error.code.name)}: {error.message}", file=sys.stderr)
    except HeadraceError as error:
        print(error, file=sys.stderr)
    return 1


def _check_options(args: argparse.Namespace) -> None:
    required = {"bootstrap-server": args.bootstrap_server, "election-type": args.election_type}
    missing = [name for name, value in required.items() if value is None]
    if missing:
        raise HeadraceError(f"Missing required option(s): {', '.join(missing)}")
    given = [name for name in _SCOPES if getattr(args, name)]
    if len(given) != 1:
        names = ", ".join(name.replace("_", "-") for name in _SCOPES)
        raise HeadraceError(f"One and only one of the following options is required: {names}")
    if args.topic is not None and args.partition is None:
        raise HeadraceError("Missing required option(s): partition")
    if args.topic is None and args.partition is not None:
        raise HeadraceError("Option partition is only allowed if topic is used")


def _places(args: argparse.Namespace) -> list[Place] | None:
    """The partitions asked for; None for all."""
    if args.path_to_json_file is not None:
        return read_places(args.path_to_json_file)
    return None if args.topic is None else [(args.topic, args.partition)]


def read_places(path: Path) -> list[Place]:
    """`{"partitions": [{"topic": "foo", "partition": 1}]}`; raises for a repeated partition."""
    try:
        document = _parsed(path.read_text())
        if "partitions" not in document:
            raise HeadraceError('Replica election data is missing "partitions" field')
        places = [(str(row["topic"]), int(row["partition"])) for row in document["partitions"]]
    except OSError:
        raise HeadraceError(f"java.io.IOException: Unable to read file {path}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise HeadraceError(f"{path} is no election data: {error!r}") from None
    repeated = sorted({place for place in places if places.count(place) > 1})
    if repeated:
        raise HeadraceError(
            f"Replica election data contains duplicate partitions: [{_joined(repeated)}]"
        )
    return places


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise HeadraceError("Replica election data is empty") from None


def _joined(places: list[Place]) -> str:
    return ", ".join(f"{topic}-{partition}" for topic, partition in places)


def _report(election_type: str, rows: list[Refusal]) -> int:
    """Kafka's lines; 1 where a partition could not be elected."""
    elected = [(row.topic, row.partition) for row in rows if row.code == ErrorCode.NONE]
    not_needed = [
        (row.topic, row.partition) for row in rows if row.code == ErrorCode.ELECTION_NOT_NEEDED
    ]
    failed = [
        row for row in rows if row.code not in (ErrorCode.NONE, ErrorCode.ELECTION_NOT_NEEDED)
    ]
    if elected:
        print(
            f"Successfully completed leader election ({election_type}) for partitions "
            f"{_joined(elected)}"
        )
    if not_needed:
        print(f"Valid replica already elected for partitions {_joined(not_needed)}")
    for row in failed:
        exception = f"org.apache.kafka.common.errors.{exception_name(row.code.name)}"
        print(
            f"Error completing leader election ({election_type}) for partition: "
            f"{row.topic}-{row.partition}: {exception}: {row.message}"
        )
    if failed:
        print(f"{len(failed)} replica(s) could not be elected", file=sys.stderr)
    return 1 if failed else 0
