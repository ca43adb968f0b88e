"""kafka-cluster.sh: cluster-id, list-endpoints."""

from ...wire.api_keys import ApiKey
from ..admin_client import AdminClient
from .options import make_parser


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-cluster", "The id and the brokers of a cluster.")
    actions = parser.add_subparsers(dest="action", required=True)
    for action in ("cluster-id", "list-endpoints"):
        sub = actions.add_parser(action)
        sub.add_argument("--bootstrap-server", "-b", required=True)
        sub.add_argument("--config", "-c")
        sub.add_argument("--include-fenced-brokers", action="store_true")
    args = parser.parse_args(argv)
    with AdminClient(args.bootstrap_server) as client:
        answer = client.any_broker().request(
            ApiKey.DESCRIBE_CLUSTER, {"include_cluster_authorized_operations": False}
        )
    if args.action == "cluster-id":
        print(f"Cluster ID: {answer['cluster_id']}")
        return 0
    rows = [
        (str(row["broker_id"]), row["host"], str(row["port"]), row.get("rack") or "null")
        for row in answer["brokers"]
    ]
    host_width = max([10, *(len(row[1]) for row in rows)])
    print(f"{'ID':<10} {'HOST':<{host_width}} {'PORT':<10} {'RACK':<10} ENDPOINT_TYPE")
    for broker_id, host, port, rack in rows:
        print(f"{broker_id:<10} {host:<{host_width}} {port:<10} {rack:<10} broker")
    return 0
