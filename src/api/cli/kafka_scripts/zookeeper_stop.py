"""zookeeper-server-stop.sh: says that nothing has to be stopped."""


def main(argv: list[str]) -> int:
    """Any flags are accepted, as a tutorial prints them."""
    print("There is no ZooKeeper to stop: the broker decides by Raft on its own.")
    return 0
