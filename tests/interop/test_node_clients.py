"""The two kept JavaScript clients against a real broker: kafkajs and @platformatic/kafka."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.source_tree import ROOT

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

SCRIPTS = Path(__file__).with_name("node")
INSTALLED = ROOT / "build" / "node"


@pytest.fixture(scope="module")
def node() -> Path:
    """The folder with both clients installed; skips where node or the network is not there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    wanted = (SCRIPTS / "package.json").read_text()
    installed = INSTALLED / "package.json"
    if not (INSTALLED / "node_modules").exists() or installed.read_text() != wanted:
        installed.write_text(wanted)
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=INSTALLED, check=False, capture_output=True, text=True, timeout=240
        )
        if done.returncode:
            pytest.skip(f"npm could not install the clients: {done.stderr[-300:]}")
    return INSTALLED


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("node")) as running:
        yield running


def run_script(node: Path, name: str, broker: BrokerProcess, topic: str) -> Any:
    """The JSON that a script prints; its own errors where it fails."""
    script = node / name
    script.write_text((SCRIPTS / name).read_text())
    done = subprocess.run(
        ["node", str(script), broker.bootstrap, topic],
        cwd=node,
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_kafkajs_gets_back_what_it_sent(node: Path, broker: BrokerProcess) -> None:
    answer = run_script(node, "kafkajs_round_trip.mjs", broker, "from-kafkajs")
    once = [
        {"key": "k", "value": "v", "timestamp": "1700000000001", "headers": {"h": "1"}},
        {"key": None, "value": "no key", "timestamp": "1700000000002", "headers": {}},
        {"key": "tombstone", "value": None, "timestamp": "1700000000003", "headers": {}},
        {"key": "", "value": "", "timestamp": "1700000000004", "headers": {}},
    ]
    expected = [row | {"offset": str(offset)} for offset, row in enumerate(once * 2)]
    assert answer["found"] == expected
    assert answer["state"] == "Empty"


def test_platformatic_gets_back_what_it_sent(node: Path, broker: BrokerProcess) -> None:
    answer = run_script(node, "platformatic_round_trip.mjs", broker, "from-platformatic")
    assert {"none", "gzip"} <= set(answer["sent"])
    expected = []
    for compression in answer["sent"]:
        expected += [
            {"key": "k", "value": compression, "headers": {"h": "1"}},
            {"key": "tombstone", "value": None, "headers": {}},
            {"key": "", "value": "", "headers": {}},
        ]
    for offset, row in enumerate(expected):
        row |= {"timestamp": str(1_700_000_000_001 + offset % 3), "offset": str(offset)}
    assert answer["found"] == expected
