"""kafka-storage.sh: random-uuid, format, info."""

import argparse
import sys
from pathlib import Path

from ....core.checkpoint_file import PropertiesFile
from ....core.clock import SystemClock
from ....core.errors import HeadraceError
from ....core.kafka_uuid import random_uuid, uuid_from_text, uuid_to_text
from ....core.log_dir import MetaProperties
from ...broker_config import BrokerConfig, parse_server_properties
from .options import make_parser


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-storage", "Prepares and inspects the folders of a broker.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("random-uuid", help="print a new cluster id")
    info = actions.add_parser("info", help="show what the folders hold")
    form = actions.add_parser("format", help="tie the folders to a cluster and a node id")
    for action in (info, form):
        action.add_argument("--config", "-c", type=Path, required=True)
    form.add_argument("--cluster-id", "-t", required=True)
    form.add_argument("--ignore-formatted", "-g", action="store_true")
    form.add_argument("--standalone", "-s", action="store_true")
    form.add_argument("--no-initial-controllers", "-N", action="store_true")
    form.add_argument("--release-version", "-r", help="accepted: files are always Kafka 4.3's")
    form.add_argument("--feature", "-f", action="append", help="accepted, not read")
    return parser


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    if args.action == "random-uuid":
        print(uuid_to_text(random_uuid(SystemClock())))
        return 0
    config, warnings = parse_server_properties(args.config, {})
    for warning in warnings:
        print(f"{args.config}: {warning}", file=sys.stderr)
    if args.action == "info":
        return _info(config)
    return _format(config, args)


def _format(config: BrokerConfig, args: argparse.Namespace) -> int:
    try:
        uuid_from_text(args.cluster_id)
    except ValueError as error:
        raise HeadraceError(
            f"Cluster ID string {args.cluster_id} is no Kafka UUID: {error}"
        ) from None
    formatted = [path for path in config.log_dirs if (path / "meta.properties").exists()]
    if formatted and not args.ignore_formatted:
        raise HeadraceError(
            f"Log directory {formatted[0]} is already formatted. "
            "Use --ignore-formatted to ignore this directory and format the others."
        )
    for path in config.log_dirs:
        if path in formatted:
            continue
        path.mkdir(parents=True, exist_ok=True)
        directory_id = uuid_to_text(random_uuid(SystemClock()))
        MetaProperties(args.cluster_id, config.node_id, directory_id, is_only_formatted=True).write(
            path
        )
        print(f"Formatting metadata directory {path} with metadata.version 4.3-IV0.")
    if len(formatted) == len(config.log_dirs):
        print("All of the log directories are already formatted.")
    return 0


def _info(config: BrokerConfig) -> int:
    """Exit code 1 where a folder is missing or not formatted, as Kafka's."""
    found, problems = [], []
    for path in config.log_dirs:
        meta = PropertiesFile(path / "meta.properties").read() if path.is_dir() else None
        if not path.is_dir():
            problems.append(f"{path} is not a directory")
        elif meta is None:
            problems.append(f"{path} is not formatted.")
        else:
            found.append((path, meta))
    if found:
        print("Found log " + ("directory:" if len(found) == 1 else "directories:"))
        for path, _ in found:
            print(f"  {path}")
        print()
        print(f"Found metadata: {found[0][1]}\n")
    if problems:
        print("Found problem:" if len(problems) == 1 else "Found problems:")
        for problem in problems:
            print(f"  {problem}")
        print()
    return 1 if problems else 0
