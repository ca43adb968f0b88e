"""What a program embedded, a broker serves: any Kafka client reads it, and the group goes on.

The broker runs inside this program to keep the example in one file; `headrace up --data FOLDER` is
the same broker in a process of its own.
"""

import tempfile

from confluent_kafka import Consumer

import headrace

TIMEOUT_S = 15


def write(folder: str) -> None:
    """A program on its own: appends, and processes the first few."""
    with headrace.open(folder) as store:
        orders = store.topic("orders")
        orders.append_many([b"order %d" % number for number in range(10)])
        with orders.tail(group="billing") as tail:
            for _ in range(4):
                print("billed here:", next(tail).value)
            tail.commit()


def serve(folder: str) -> None:
    """Later: a broker on the same folder, and a consumer of the same group."""
    with headrace.Broker(folder) as broker:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "billing",
                "auto.offset.reset": "error",
            }
        )
        consumer.subscribe(["orders"])
        for message in consumer.consume(6, TIMEOUT_S):
            print("billed by a Kafka client:", message.value())
        consumer.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(folder)
        serve(folder)


if __name__ == "__main__":
    main()
