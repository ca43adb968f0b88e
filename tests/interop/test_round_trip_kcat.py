"""kcat 1.7 (an old librdkafka) against a broker process."""

import json
import shutil
import subprocess

import pytest

from tests.support.broker_process import BrokerProcess

pytestmark = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")


def kcat(broker: BrokerProcess, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["kcat", "-b", broker.bootstrap, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_lines_come_back_and_are_compressed_on_the_way(broker: BrokerProcess, codec: str) -> None:
    topic = f"kcat-{codec}"
    lines = [f"k{number}:value number {number}" for number in range(200)]
    kcat(broker, "-P", "-t", topic, "-K:", "-z", codec, "-H", "h=1", given="\n".join(lines))
    out = kcat(
        broker, "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-f", "%k:%s|%h|%o\n"
    ).splitlines()
    assert out == [f"{line}|h=1|{offset}" for offset, line in enumerate(lines)]
    attributes = first_batch_attributes(broker, topic)
    assert attributes & 7 == ["none", "gzip", "snappy", "lz4", "zstd"].index(codec)


def first_batch_attributes(broker: BrokerProcess, topic: str) -> int:
    """The attributes field of the first batch on disk (byte 21 of the batch, two bytes)."""
    segment = broker.data / f"{topic}-0" / f"{0:020d}.log"
    return int.from_bytes(segment.read_bytes()[21:23], "big")


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
