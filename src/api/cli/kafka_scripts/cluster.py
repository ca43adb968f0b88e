"""kafka-cluster.sh: cluster-id, list-endpoints, unregister."""

from typing import Any

from ...wire.api_keys import ApiKey
from ..admin_client import AdminClient, check
from ..broker_connection import UnsupportedByBrokerError
from .options import make_parser


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-cluster", "The id and the brokers of a cluster.")
    actions = parser.add_subparsers(dest="action", required=True)
    for action in ("cluster-id", "list-endpoints", "unregister"):
        sub = actions.add_parser(action)
        sub.add_argument("--bootstrap-server", "-b", required=True)
        sub.add_argument("--config", "-c")
        sub.add_argument("--include-fenced-brokers", action="store_true")
        if action == "unregister":
            sub.add_argument("--id", "-i", type=int, required=True)
    args = parser.parse_args(argv)
    with AdminClient(args.bootstrap_server) as client:
        if args.action == "unregister":
            return _unregister(client, args.id)
        answer = client.any_broker().request(
            ApiKey.DESCRIBE_CLUSTER, {"include_cluster_authorized_operations": False}
        )
    if args.action == "cluster-id":
        print(f"Cluster ID: {answer['cluster_id']}")
        return 0
    _print_endpoints(answer["brokers"])
    return 0


def _unregister(client: AdminClient, broker_id: int) -> int:
    """Kafka's words, and its exit code, also where the cluster cannot."""
    try:
        answer = client.any_broker().request(ApiKey.UNREGISTER_BROKER, {"broker_id": broker_id})
    except UnsupportedByBrokerError:
        print("The target cluster does not support the broker unregistration API.")
        return 0
    check(answer["error_code"], f"broker {broker_id}", answer["error_message"])
    print(f"Broker {broker_id} is no longer registered.")
    return 0


def _print_endpoints(brokers: list[dict[str, Any]]) -> None:
    """Kafka's table; the state is always `unfenced`, as a broker that serves is."""
    hosts = [row["host"] for row in brokers]
    racks = [row.get("rack") or "null" for row in brokers]
    host_width = max(map(len, hosts), default=0)
    rack_width = max([10, *map(len, racks)])

    def line(broker_id: object, host: str, port: object, rack: str, state: str, kind: str) -> str:
        return (
            f"{broker_id:<10} {host:<{host_width}} {port:<10} {rack:<{rack_width}} "
            f"{state:<10} {kind:<15}"
        )

    print(line("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"))
    for row, host, rack in zip(brokers, hosts, racks, strict=True):
        print(line(row["broker_id"], host, row["port"], rack, "unfenced", "broker"))
