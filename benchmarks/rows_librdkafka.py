"""T1 to T4 of librdkafka's "Performance numbers", by name: 500,000 messages of 100 bytes.

The published run had two brokers that led a partition each and asked for acks=2, which Kafka no
longer knows; here one broker leads both, and acks=all stands for it.  The payload repeats a short
text, as rdkafka_performance does, so that the codecs of T3 and T4 find something.
"""

from .peers.peer import RunningPeer
from .row import Figures, Row
from .rows import produced
from .topics import create_ready_topic

MESSAGES = {"smoke": 5_000, "quick": 500_000, "full": 500_000}
# name -> (partitions, settings)
TESTS = {
    "T1: acks=all": (2, ("acks=all",)),
    "T2: acks=0, one partition": (1, ("acks=0",)),
    "T3: acks=all, snappy": (2, ("acks=all", "compression.codec=snappy")),
    "T4: acks=all, gzip": (2, ("acks=all", "compression.codec=gzip")),
}


def performance_numbers(peer: RunningPeer, turn: int, scale: str) -> Figures:
    figures: Figures = {}
    for name, (partitions, settings) in TESTS.items():
        topic = f"{name[:2]}-{turn}"
        create_ready_topic(peer, topic, partitions)
        got = produced(peer, topic, MESSAGES[scale], 100, "payload=text", *settings)
        figures[name] = got.messages_per_s
        figures |= got.costs(f"{name}, broker")
    return figures


ROWS = {"librdkafka": Row(performance_numbers, 8)}
