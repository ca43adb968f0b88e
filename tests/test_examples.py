"""Every example runs as it stands, prints what it says, and is typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT

EXAMPLES = ROOT / "examples"
PLUGIN = "headrace.api.embedded.pytest_plugin"


def run(*arguments: str, folder: Path = ROOT) -> str:
    outcome = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("numpy_ingestion.py", "mean temperature 20.0 C over 100000 readings"),
        ("duckdb_query.py", "[('/home', 666), ('/about', 334), ('/new', 1)]"),
        ("asyncio_producer.py", "500 events are on disk"),
        ("hand_over.py", "billed here: b'order 3'\nbilled by a Kafka client: b'order 4'"),
    ],
)
def test_an_example_prints_what_it_shows(name: str, printed: str) -> None:
    assert printed in run(str(EXAMPLES / name))


def test_the_consumer_applications_own_suite_passes() -> None:
    folder = EXAMPLES / "consumer_app"
    settings = ("-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider")
    told = run("-m", "pytest", "-q", "-p", PLUGIN, *settings, ".", folder=folder)
    assert "2 passed" in told


def test_the_list_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    here = {f"examples/{path.name}" for path in EXAMPLES.glob("*.py")}
    assert here, "there are examples"
    assert all(f"`{name}`" in text for name in here)


def test_the_examples_are_clean_under_strict_types() -> None:
    files = [str(path) for path in EXAMPLES.rglob("*.py")]
    run("-m", "mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports", *files)
