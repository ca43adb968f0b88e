"""Flags of Kafka before 2.0 that books still print: dropped, or answered with what to do now."""

from ....core.errors import HeadraceError

ZOOKEEPER_PORT = "2181"


def without_old_flags(argv: list[str]) -> list[str]:
    """`argv` without `--new-consumer`; an address of ZooKeeper's own is refused in words."""
    left = [flag for flag in argv if flag != "--new-consumer"]
    if "--zookeeper" in left and "--bootstrap-server" not in left:
        address = "".join(left[left.index("--zookeeper") + 1 :][:1])
        if address.split("/")[0].endswith(f":{ZOOKEEPER_PORT}"):
            raise HeadraceError(
                f"there is no ZooKeeper here: give --bootstrap-server localhost:9092 in the place "
                f"of --zookeeper {address}"
            )
    return left
