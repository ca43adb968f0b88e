"""kafka-log-dirs.sh: the size of every replica in every log directory, as JSON."""

import json
import sys
from typing import Any

from ....core.errors import HeadraceError
from ...wire.error_codes import ErrorCode
from .options import add_bootstrap, admin, make_parser, parse_ids


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-log-dirs", "Describes log directories and replicas of brokers.")
    add_bootstrap(parser)
    parser.add_argument("--describe", action="store_true", required=True)
    parser.add_argument("--topic-list", default="")
    parser.add_argument("--broker-list", default="")
    args = parser.parse_args(argv)
    try:
        wanted = parse_ids(args.broker_list) if args.broker_list else []
    except HeadraceError as error:
        print(error, file=sys.stderr)
        return 1
    topics = {name for name in args.topic_list.split(",") if name}
    with admin(args) as client:
        existing = [row["node_id"] for row in client.metadata([])["brokers"]]
        wanted = wanted or sorted(existing)
        missing = [broker for broker in wanted if broker not in existing]
        if missing:
            print(
                f"ERROR: The given brokers do not exist from --broker-list: "
                f"{','.join(map(str, missing))}. "
                f"Current existent brokers: {','.join(map(str, sorted(existing)))}",
                file=sys.stderr,
            )
            return 1
        print("Querying brokers for log directories information")
        brokers = [(broker, client.log_dirs(broker)) for broker in wanted]
    print(f"Received log directory information from brokers {','.join(map(str, wanted))}")
    document = {
        "brokers": [
            {"broker": broker, "logDirs": [_log_dir(row, topics) for row in rows]}
            for broker, rows in brokers
        ],
        "version": 1,
    }
    print(json.dumps(document, separators=(",", ":")))
    return 0


def _log_dir(row: dict[str, Any], topics: set[str]) -> dict[str, Any]:
    error = ErrorCode(row["error_code"])
    return {
        "partitions": [
            {
                "partition": f"{topic['name']}-{part['partition_index']}",
                "size": part["partition_size"],
                "offsetLag": part["offset_lag"],
                "isFuture": part["is_future_key"],
            }
            for topic in row["topics"]
            if not topics or topic["name"] in topics
            for part in topic["partitions"]
        ],
        "error": None if error == ErrorCode.NONE else error.name,
        "logDir": row["log_dir"],
    }
