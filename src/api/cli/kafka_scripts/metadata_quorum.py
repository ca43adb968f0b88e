"""kafka-metadata-quorum.sh: who votes on the cluster's metadata, and how far each voter is."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from ....core.kafka_uuid import ZERO_UUID, uuid_to_text
from ..admin_client import AdminClient
from ..cluster_admin import describe_quorum
from .options import admin, make_parser

_HEADERS = (
    *("NodeId", "DirectoryId", "LogEndOffset", "Lag"),
    *("LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"),
)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-metadata-quorum", "This tool describes the metadata quorum status.")
    parser.add_argument("--bootstrap-server", "--bootstrap-controller", required=True)
    parser.add_argument("--command-config", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    describe = commands.add_parser("describe", help="Describe the metadata quorum info")
    describe.add_argument("--status", action="store_true")
    describe.add_argument("--replication", action="store_true")
    describe.add_argument("--human-readable", action="store_true")
    for name in ("add-controller", "remove-controller"):
        change = commands.add_parser(name)
        change.add_argument("--controller-id", "-i", type=int)
        change.add_argument("--controller-directory-id", "-d")
        change.add_argument("--dry-run", action="store_true")
    return parser


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    refusal = _refusal(args)
    if refusal is not None:
        print(refusal, file=sys.stderr)
        return 1
    with admin(args) as client:
        if args.status:
            _print_status(client)
        else:
            _print_replication(client, is_human_readable=args.human_readable)
    return 0


def _refusal(args: argparse.Namespace) -> str | None:
    """Why the flags make no sense together; None where they do."""
    if args.command != "describe":
        return (
            f"{args.command}: voters are chosen by the cluster itself, up to five of its brokers; "
            "`headrace cluster remove-broker` takes one away for good"
        )
    if args.status and args.replication:
        return "Only one of --status or --replication should be specified with describe sub-command"
    if args.status and args.human_readable:
        return "The option --human-readable is only supported along with --replication"
    if not args.status and not args.replication:
        return "One of --status or --replication must be specified with describe sub-command"
    return None


def _quorum(client: AdminClient) -> tuple[dict[str, Any], dict[int, list[str]]]:
    """The partition of the metadata, and the endpoints of the nodes."""
    answer = describe_quorum(client)
    endpoints = {
        node["node_id"]: [
            f"{each['name']}://{each['host']}:{each['port']}" for each in node["listeners"]
        ]
        for node in answer.get("nodes", ())
    }
    return answer["topics"][0]["partitions"][0], endpoints


def _print_status(client: AdminClient) -> None:
    quorum, endpoints = _quorum(client)
    followers = [
        voter for voter in quorum["current_voters"] if voter["replica_id"] != quorum["leader_id"]
    ]
    (leader,) = (
        voter for voter in quorum["current_voters"] if voter["replica_id"] == quorum["leader_id"]
    )
    lags = [leader["log_end_offset"] - voter["log_end_offset"] for voter in followers]
    caught_up = leader["last_caught_up_timestamp"]
    lag_ms = 0
    if followers:
        times = [voter["last_caught_up_timestamp"] for voter in followers]
        lag_ms = -1 if min(times) < 0 else max(0, caught_up - min(times))
    cluster_id = client.metadata([]).get("cluster_id")
    rows = {
        "ClusterId": cluster_id,
        "LeaderId": quorum["leader_id"],
        "LeaderEpoch": quorum["leader_epoch"],
        "HighWatermark": quorum["high_watermark"],
        "MaxFollowerLag": max(lags, default=0),
        "MaxFollowerLagTimeMs": lag_ms,
        "CurrentVoters": _nodes(quorum["current_voters"], endpoints),
        "CurrentObservers": _nodes(quorum["observers"], endpoints),
    }
    for name, value in rows.items():
        print(f"{name + ':':<24}{value}")


def _nodes(replicas: list[dict[str, Any]], endpoints: dict[int, list[str]]) -> str:
    """`[{"id": 1, "endpoints": ["CONTROLLER://localhost:9093"]}]`, as Kafka writes it."""
    texts = []
    for replica in replicas:
        text = f'{{"id": {replica["replica_id"]}'
        if replica.get("replica_directory_id", ZERO_UUID) != ZERO_UUID:
            text += f', "directoryId": "{uuid_to_text(replica["replica_directory_id"])}"'
        if endpoints.get(replica["replica_id"]):
            quoted = ", ".join(f'"{each}"' for each in endpoints[replica["replica_id"]])
            text += f', "endpoints": [{quoted}]'
        texts.append(text + "}")
    return f"[{', '.join(texts)}]"


def _print_replication(client: AdminClient, *, is_human_readable: bool) -> None:
    quorum, _ = _quorum(client)
    leader_id = quorum["leader_id"]
    voters = sorted(
        quorum["current_voters"], key=lambda voter: bool(voter["replica_id"] != leader_id)
    )
    leader_end = voters[0]["log_end_offset"] if voters else 0
    rows = [
        _row(voter, leader_end, "Leader" if voter["replica_id"] == leader_id else "Follower")
        for voter in voters
    ]
    rows += [_row(observer, leader_end, "Observer") for observer in quorum["observers"]]
    if is_human_readable:
        rows = [[*row[:4], _ago(row[4]), _ago(row[5]), row[6]] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(_HEADERS, *rows, strict=True)]
    for row in [list(_HEADERS), *rows]:
        print("\t".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + "\t")


def _row(replica: dict[str, Any], leader_end: int, status: str) -> list[str]:
    directory_id = uuid_to_text(replica.get("replica_directory_id", ZERO_UUID))
    return [
        str(replica["replica_id"]),
        directory_id,
        str(replica["log_end_offset"]),
        str(leader_end - replica["log_end_offset"]),
        str(replica.get("last_fetch_timestamp", -1)),
        str(replica.get("last_caught_up_timestamp", -1)),
        status,
    ]


def _ago(timestamp: str) -> str:
    if int(timestamp) < 0:
        return timestamp
    return f"{max(0, int(time.time() * 1000) - int(timestamp))} ms ago"
