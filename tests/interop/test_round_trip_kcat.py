"""kcat 1.7 (an old librdkafka) against a broker process."""

import json
import shutil
import subprocess

import pytest

from headrace.core.record_batch import RecordBatch
from tests.support.broker_process import BrokerProcess

pytestmark = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")


def kcat(broker: BrokerProcess, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["kcat", "-b", broker.bootstrap, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_lines_come_back_and_are_compressed_on_the_way(broker: BrokerProcess, codec: str) -> None:
    topic = f"kcat-{codec}"
    lines = [f"k{number}:value number {number}" for number in range(200)]
    # A batch of one record would gain nothing and be sent as it is, so let it fill.
    options = ("-K:", "-z", codec, "-H", "h=1", "-X", "linger.ms=500")
    kcat(broker, "-P", "-t", topic, *options, given="\n".join(lines))
    out = kcat(
        broker, "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-f", "%k:%s|%h|%o\n"
    ).splitlines()
    assert out == [f"{line}|h=1|{offset}" for offset, line in enumerate(lines)]
    assert ["none", "gzip", "snappy", "lz4", "zstd"].index(codec) in codecs_on_disk(broker, topic)


def codecs_on_disk(broker: BrokerProcess, topic: str) -> set[int]:
    """The compression ids of the batches in the first segment, whose tail is reserved zeros."""
    segment = broker.data / f"{topic}-0" / f"{0:020d}.log"
    data = segment.read_bytes()
    found, position = set(), 0
    while int.from_bytes(data[position + 8 : position + 12], "big"):
        batch = RecordBatch(data, position)
        found.add(batch.compression_id)
        position += batch.size_bytes
    return found


def test_tombstone_comes_back_as_null(broker: BrokerProcess) -> None:
    kcat(broker, "-P", "-t", "kcat-null", "-K:", "-Z", given="gone:\n")
    out = kcat(broker, "-C", "-t", "kcat-null", "-e", "-q", "-o", "beginning", "-f", "%k %S\n")
    assert out == "gone -1\n"


def test_list_names_this_broker_and_its_topics(broker: BrokerProcess) -> None:
    kcat(broker, "-P", "-t", "kcat-listed", given="x\n")
    told = json.loads(kcat(broker, "-L", "-J"))
    assert [one["name"] for one in told["brokers"]] == [broker.bootstrap]
    assert "kcat-listed" in {topic["topic"] for topic in told["topics"]}
    assert told["controllerid"] == 1


def test_query_finds_the_offset_of_a_time(broker: BrokerProcess) -> None:
    kcat(broker, "-P", "-t", "kcat-query", given="a\nb\nc\n")
    assert kcat(broker, "-Q", "-t", "kcat-query:0:-1").split()[-1] == "3"
    assert kcat(broker, "-Q", "-t", "kcat-query:0:-2").split()[-1] == "0"
    assert kcat(broker, "-Q", "-t", "kcat-query:0:1").split()[-1] == "0"
