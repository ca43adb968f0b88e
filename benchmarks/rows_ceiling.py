"""What the broker itself could take and give: prebuilt batches over a socket, nothing decoded.

A client that builds or reads messages costs several times what the broker does; this one does not,
so the broker is the limit.  Produce is acks=1; Fetch has one request in flight.
"""

from .harness import run_loads
from .loads import raw_load, request_command
from .peers.peer import RunningPeer
from .plain_writes import run_controlled
from .row import Figures, Row
from .topics import create_ready_topic

# words -> (records a batch, bytes a record, requests in flight)
BATCHES = {
    "16 KiB": (150, 100, 32),
    "256 KiB": (255, 1024, 8),
    "1 MB": (970, 1024, 4),
}
PRODUCED_BYTES = {"smoke": 4 << 20, "quick": 512 << 20, "full": 2 << 30}
FETCH_BYTES = 1 << 20


def ceiling(peer: RunningPeer, turn: int, scale: str) -> Figures:
    figures: Figures = {}
    for words, (records, record_bytes, in_flight) in BATCHES.items():
        topic = f"ceiling-{records}-{record_bytes}-{turn}"
        create_ready_topic(peer, topic)
        count = max(in_flight, PRODUCED_BYTES[scale] // (records * record_bytes))
        batch = (records, record_bytes)
        run_loads([request_command(peer, topic, max(1, count // 10), in_flight, *batch)])
        title = f"prebuilt batches of {words}"
        command = request_command(peer, topic, count, in_flight, *batch)
        written_bytes = count * records * record_bytes
        done = run_controlled(peer, [command], written_bytes=written_bytes)
        figures[title] = done.gb_per_s
        figures |= done.costs(f"{title}, broker")
        fetch = [raw_load("raw_fetch"), "127.0.0.1", peer.port, topic, count * records]
        if words == "256 KiB":
            figures |= _fetched(peer, "raw fetch of 1 MiB", [*fetch, FETCH_BYTES])
    return figures


def _fetched(peer: RunningPeer, title: str, command: list[object]) -> Figures:
    before = peer.cpu_s()
    (result,) = run_loads([command])
    gigabytes = result["bytes"] / 1e9
    return {
        title: (gigabytes / result["seconds"], "GB/s", "more"),
        f"{title}, broker": ((peer.cpu_s() - before) / gigabytes, "CPU-s/GB", "less"),
    }


ROWS = {"ceiling": Row(ceiling, 35)}
