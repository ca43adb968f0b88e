"""The fixtures, used by a project that is not this one."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.source_tree import ROOT

PLUGIN = "headrace.api.embedded.pytest_plugin"

SUITE = """
import sys
import pytest
from confluent_kafka import Producer

seen = []

def produce(broker, topic, value):
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, value)
    assert producer.flush(15) == 0

@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_the_one_broker_empty(headrace_broker, turn):
    assert list(headrace_broker.store) == []
    produce(headrace_broker, "clicks", b"%d" % turn)
    assert headrace_broker.assert_produced("clicks").value == b"%d" % turn
    assert headrace_broker.assert_produced("clicks").offset == 0
    seen.append(headrace_broker.bootstrap)

def test_it_was_the_same_broker(headrace_broker):
    assert seen == [headrace_broker.bootstrap] * 2

def test_one_that_was_stopped_is_started_for_the_next(headrace_broker):
    headrace_broker.stop()

def test_the_next(headrace_broker):
    produce(headrace_broker, "clicks", b"a")

@pytest.mark.parametrize("what", ["a/b c"])
def test_topic(headrace_broker, headrace_topic, what):
    assert headrace_topic.name == "test_topic-a-b-c-"
    produce(headrace_broker, headrace_topic.name, b"a")
    assert headrace_topic.read().to_pylist() == [b"a"]

def test_factory(headrace_broker, headrace_broker_factory):
    other = headrace_broker_factory(topics={"orders": 3})
    assert other.bootstrap != headrace_broker.bootstrap
    assert len(other.store["orders"].partitions) == 3

def test_store(headrace_store):
    assert headrace_store.topic("clicks").append(b"a") == 0

def test_a_failure_shows_the_records(headrace_broker):
    produce(headrace_broker, "clicks", b"something else")
    headrace_broker.assert_produced("clicks", value=b"expected", timeout=0.01)
"""


def run_suite(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_consumer.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_project_elsewhere_uses_the_fixtures(tmp_path: Path) -> None:
    outcome = run_suite(tmp_path, SUITE)
    assert "1 failed, 8 passed" in outcome.stdout, outcome.stdout + outcome.stderr
    assert "value=b'expected' was not produced" in outcome.stdout
    assert "value=b'something else'" in outcome.stdout


def test_the_plugin_alone_imports_next_to_nothing(tmp_path: Path) -> None:
    text = (
        "import sys\n"
        "def test_bare():\n"
        "    ours = {name for name in sys.modules if name.startswith('headrace')}\n"
        f"    assert ours == {{'headrace', 'headrace.api', 'headrace.api.embedded', {PLUGIN!r}}}\n"
    )
    outcome = run_suite(tmp_path, text)
    assert outcome.returncode == 0, outcome.stdout


def test_pytest_finds_the_plugin_by_its_entry_point(tmp_path: Path) -> None:
    """A project of its own, with nothing but headrace installed: no conftest, no `-p`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"headrace": PLUGIN}
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_consumer.py").write_text(
        "def test_it(headrace_broker, headrace_topic, headrace_store):\n"
        "    headrace_topic.append(b'a')\n"
        "    assert headrace_broker.assert_produced(headrace_topic.name, value=b'a')\n"
        "    assert list(headrace_store) == []\n"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_") and name != "PYTHONPATH"
    }
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in outcome.stdout, outcome.stdout + outcome.stderr
