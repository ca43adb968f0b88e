"""kafka-broker-api-versions.sh: what each broker offers and what we would use of it."""

from ...wire.api_keys import ApiKey
from ...wire.registry import schema_versions
from ..broker_connection import BrokerConnection
from .options import add_bootstrap, admin, make_parser


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-broker-api-versions", "Lists the API versions of brokers.")
    add_bootstrap(parser)
    args = parser.parse_args(argv)
    with admin(args) as client:
        for node in client.metadata([])["brokers"]:
            rack = node.get("rack") or "null"
            print(
                f"{node['host']}:{node['port']} (id: {node['node_id']} rack: {rack} "
                f"isFenced: false) -> ("
            )
            print(",\n".join(_lines(client.broker(node["node_id"]))))
            print(")")
    return 0


# Keys of brokers and controllers among themselves, which a client never asks for.
_NOT_FOR_CLIENTS = frozenset(
    (
        ApiKey.VOTE,
        ApiKey.BEGIN_QUORUM_EPOCH,
        ApiKey.END_QUORUM_EPOCH,
        ApiKey.ALTER_PARTITION,
        ApiKey.ENVELOPE,
        ApiKey.FETCH_SNAPSHOT,
        ApiKey.BROKER_REGISTRATION,
        ApiKey.BROKER_HEARTBEAT,
        ApiKey.ALLOCATE_PRODUCER_IDS,
        ApiKey.CONTROLLER_REGISTRATION,
        ApiKey.ASSIGN_REPLICAS_TO_DIRS,
        ApiKey.UPDATE_RAFT_VOTER,
    )
)


def _lines(broker: BrokerConnection) -> list[str]:
    """A line a key: what the broker offers, and UNSUPPORTED where a client might ask in vain."""
    offered = broker.api_versions()
    lines = []
    for key in sorted({*offered, *(set(ApiKey) - _NOT_FOR_CLIENTS)}):
        try:
            api = ApiKey(key)
        except ValueError:
            lines.append(f"\tUNKNOWN({key}): {_range(*offered[key])}")
            continue
        said = "UNSUPPORTED"
        if key in offered:
            low, high = offered[key]
            said = f"{_range(low, high)} [usable: {min(high, schema_versions(api)[1])}]"
        lines.append(f"\t{api.api_name}({key}): {said}")
    return lines


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
