"""Figures that others published, by the names of our own: of other machines, for orientation only.

KREPS: Jay Kreps, "Benchmarking Apache Kafka: 2 Million Writes Per Second (On Three Cheap
Machines)", 2014: Kafka 0.8.1, three brokers with six 7,200 rpm disks each, 1 Gb/s Ethernet, clients
on machines of their own.
"""

KREPS = "Kreps 2014, Kafka 0.8.1, 3 machines, 1 Gb/s"

# name -> (value, unit, what else there is to know)
FIGURES: dict[str, tuple[float, str, str]] = {
    "one producer, no replication": (821_557, "msg/s", KREPS),
    "one producer, acks=all": (421_823, "msg/s", f"{KREPS}, 3 replicas"),
    "three producers": (2_024_032, "msg/s", f"{KREPS}, 3 replicas, acks=1"),
    "one consumer": (940_521, "msg/s", KREPS),
    "three consumers": (2_615_968, "msg/s", KREPS),
    "producer and consumer": (795_064, "msg/s", f"{KREPS}, 3 replicas, acks=1"),
    "end to end at 1,000 msg/s, p50": (2, "ms", KREPS),
    "end to end at 1,000 msg/s, p99": (3, "ms", KREPS),
    "end to end at 1,000 msg/s, p99.9": (14, "ms", KREPS),
}
