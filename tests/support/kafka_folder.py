"""The golden folder that a real Kafka left, unpacked; see tests/golden/kafka_folder/README.md."""

import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).parents[1] / "golden" / "kafka_folder" / "folder.tar.gz"

NODE_ID = 7
CLUSTER_ID = "q1Sh-9_ISia_zwGINzRvyQ"
COMMITTED = {0: 100, 1: 200, 2: 300}


def unpack_kafka_folder(target: Path) -> Path:
    """The folder, fresh below `target`."""
    folder = target / "kafka"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder
