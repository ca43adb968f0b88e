"""What a broker starts without, counted: its CPU is taken from whoever serves meanwhile."""

import json
import subprocess
import sys
from typing import Any

import pytest

# What Python itself, and every program on uvloop, loads: not the same in each version.
BASE = "import argparse, asyncio, dataclasses, logging, msgpack, pathlib, random, uvloop"
# Of other libraries and of Python's own: large, or bringing much with them.
NEEDLESS = {
    *("aiokafka", "confluent_kafka", "kafka", "numpy", "pandas", "pyarrow", "pytest"),
    *("bz2", "csv", "ctypes", "difflib", "email", "encodings.idna", "importlib.metadata", "json"),
    *("lzma", "mmap", "multiprocessing", "pickle", "platform", "shutil", "tempfile", "uuid"),
    "zipfile",
}
NEEDLESS_OURS = {
    "headrace.api.embedded",
    "headrace.api.cli.admin_client",
    "headrace.api.cli.up_cluster",
    "headrace.core.batch_columns",
    "headrace.core.batch_encoder",
    "headrace.core.log_compaction",
    "headrace.core.log_dump",
    "headrace.core.log_verify",
    "headrace.raft.wal_dump",
}
MOST_MODULES = 275
"""Of our own, in a broker of a cluster: 244 when this was written."""

SERVE = """
import gc, os, signal, sys
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))

class Told:
    def write(self, text):
        if text.startswith("headrace serves"):
            import headrace.raft.raft_group  # what the Raft thread of a cluster's broker loads
            found = {"modules": sorted(sys.modules), "frozen": gc.get_freeze_count(),
                     "is_collecting": gc.isenabled(), "before": before, "since": len(collections)}
            import json
            sys.stderr.write("found " + json.dumps(found) + chr(10))
            os.kill(os.getpid(), signal.SIGTERM)
        return len(text)
    def flush(self):
        pass

sys.stdout = Told()
from headrace.api.cli.__main__ import main
import headrace.api.cli.server
before = len(collections)
sys.exit(main(["server", "start", sys.argv[1]]))
"""


def _modules_of(code: str) -> set[str]:
    said = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(said.stdout.split())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process that serves says of itself."""
    folder = tmp_path_factory.mktemp("start")
    properties = folder / "server.properties"
    properties.write_text(f"listeners=PLAINTEXT://127.0.0.1:0\nlog.dirs={folder / 'data'}\n")
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(properties)], capture_output=True, text=True, check=True
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("found ")]
    answer: dict[str, Any] = json.loads(line.removeprefix("found "))
    return answer


def test_a_broker_that_serves_has_loaded_nothing_that_it_does_not_need(
    found: dict[str, Any],
) -> None:
    loaded = set(found["modules"])
    assert "headrace.raft.raft_group" in loaded
    assert (loaded & NEEDLESS) - _modules_of(BASE) == set()
    assert loaded & NEEDLESS_OURS == set()


def test_a_broker_is_no_more_modules_than_it_was(found: dict[str, Any]) -> None:
    ours = [name for name in found["modules"] if name.startswith("headrace")]
    assert 100 < len(ours) <= MOST_MODULES, "each takes a fifth of a millisecond at every start"


def test_no_garbage_is_looked_for_while_modules_are_loaded(found: dict[str, Any]) -> None:
    assert found["is_collecting"]
    assert found["frozen"] > 10_000
    assert found["since"] - found["before"] < 50, "hundreds, where the collector is on"


def test_the_package_and_its_help_load_next_to_nothing() -> None:
    bare = _modules_of("")
    package = _modules_of("import headrace") - bare
    assert {name for name in package if name.startswith("headrace")} == {"headrace"}
    asked = (
        "import contextlib, io\n"
        "from headrace.api.cli.__main__ import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
    )
    loaded = _modules_of(asked)
    assert len([name for name in loaded if name.startswith("headrace")]) < 12
    assert not loaded & {"asyncio", "cramjam", "logging", "msgpack", "random", "uvloop"}
