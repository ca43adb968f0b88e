"""zookeeper-server-start.sh: says that nothing has to be started."""


def main(argv: list[str]) -> int:
    """Any flags are accepted, as a tutorial prints them."""
    print("There is no ZooKeeper to start: the broker decides by Raft on its own.")
    print("Go on with: kafka-server-start.sh $KAFKA_HOME/config/server.properties")
    return 0
