"""Figures that others published, by the names of our own: of other machines, for orientation only.

KREPS: Jay Kreps, "Benchmarking Apache Kafka: 2 Million Writes Per Second (On Three Cheap
Machines)", LinkedIn Engineering, 2014: Kafka 0.8.1, three brokers with six 7,200 rpm disks each,
1 Gb/s Ethernet, clients on machines of their own.  Each figure was found again in at least two
independent retellings of the post in November 2026; the post itself was not at hand.

LIBRDKAFKA: "Performance numbers" in librdkafka's own INTRODUCTION.md, read there: two brokers on
the machine of the client (quad-core i7 of 3.4 GHz, 8 GB), two partitions, acks=2 but for T2.
"""

KREPS = "Kreps 2014, Kafka 0.8.1, 3 machines, 1 Gb/s"
LIBRDKAFKA = "librdkafka's INTRODUCTION.md, Kafka of 2012, 2 brokers beside the client"

# name -> (value, unit, source)
FIGURES: dict[str, tuple[float, str, str]] = {
    "one producer, no replication": (821_557, "msg/s", KREPS),
    "one producer, 3 replicas, acks=1": (786_980, "msg/s", KREPS),
    "one producer, 3 replicas, acks=all": (421_823, "msg/s", KREPS),
    "three producers, 3 replicas": (2_024_032, "msg/s", KREPS),
    "one consumer": (940_521, "msg/s", KREPS),
    "three consumers": (2_615_968, "msg/s", KREPS),
    "producer and consumer, 3 replicas": (795_064, "msg/s", KREPS),
    "end to end at 1,000 msg/s, p50": (2, "ms", KREPS),
    "end to end at 1,000 msg/s, p99": (3, "ms", KREPS),
    "end to end at 1,000 msg/s, p99.9": (14, "ms", KREPS),
    "T1: acks=all": (851_531, "msg/s", LIBRDKAFKA),
    "T2: acks=0, one partition": (715_994, "msg/s", LIBRDKAFKA),
    "T3: acks=all, snappy": (298_915, "msg/s", LIBRDKAFKA),
    "T4: acks=all, gzip": (236_812, "msg/s", LIBRDKAFKA),
}
