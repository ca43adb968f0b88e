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


def _lines(broker: BrokerConnection) -> list[str]:
    lines = []
    for key, (low, high) in sorted(broker.api_versions().items()):
        try:
            api = ApiKey(key)
        except ValueError:
            lines.append(f"\tUNKNOWN({key}): {_range(low, high)}")
            continue
        name = "".join(word.capitalize() for word in api.name.split("_"))
        usable = min(high, schema_versions(api)[1])
        lines.append(f"\t{name}({key}): {_range(low, high)} [usable: {usable}]")
    return lines


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
