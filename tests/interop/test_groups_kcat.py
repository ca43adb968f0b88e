"""kcat 1.7 (an old librdkafka) as a balanced consumer."""

import shutil
import subprocess

import pytest

from tests.support.broker_process import BrokerProcess

pytestmark = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")

DEADLINE_S = 60


def kcat(broker: BrokerProcess, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["kcat", "-b", broker.bootstrap, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_group_goes_on_where_it_stopped(broker: BrokerProcess) -> None:
    for batch in (("a", "b", "c"), ("d", "e")):
        kcat(broker, "-P", "-t", "kcat-group", "-p", "0", given="\n".join(batch))
        out = kcat(
            broker,
            *("-G", "kcat-group", "-q", "-c", str(len(batch))),
            *("-X", "auto.offset.reset=earliest"),
            "kcat-group",
        )
        assert out.split() == list(batch)
