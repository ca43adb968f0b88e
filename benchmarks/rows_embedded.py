"""The log inside a Python process beside what else PyPI has for that: append, read, files.

Each library runs in a process of its own (load/embedded_client.py), on an empty folder, and syncs
nothing where it can be asked not to.
"""

import sys
from pathlib import Path

from .harness import run_loads
from .peers.install import python_environment
from .peers.peer import RunningPeer
from .row import NO_BROKER, Figures, Row

RECORDS = {"smoke": 200, "quick": 10_000, "full": 50_000}
MESSAGE_BYTES = 100
CLIENT = Path(__file__).with_name("load") / "embedded_client.py"
# figure -> the key of the client's answer
TIMES = {
    "append, one 100 B record a call": "append_s",
    "append, 1,000 records of 100 B at once": "append_many_s",
    "read back as a list of bytes": "read_s",
}


def embedded(peer: RunningPeer, turn: int, scale: str) -> Figures:
    folder = peer.data / f"turn-{turn}"
    folder.mkdir()
    library = peer.peer.column.replace("-", "")
    command = [sys.executable, CLIENT, library, folder, RECORDS[scale], MESSAGE_BYTES]
    (result,) = run_loads([command], python_environment())
    figures: Figures = {
        figure: (1e9 * result[key], "ns/record", "less")
        for figure, key in TIMES.items()
        if key in result
    }
    figures["disk for a byte appended"] = (result["disk_bytes"], "bytes", "less")
    return figures


ROWS = {"embedded": Row(embedded, 10, NO_BROKER)}
