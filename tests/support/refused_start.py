"""A broker that must not start: what it says, and how it ends."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.broker_process import free_port

EXIT_FAILURE = 1
WITHIN_S = 60


def refused_start(
    folder: Path,
    data: Path | str,
    *,
    port: int | None = None,
    before_exec: Callable[[], None] | None = None,
    settings: Mapping[str, str] | None = None,
) -> str:
    """What `headrace server start` says on stderr; exit code 1 and no traceback are checked."""
    file = folder / "refused.properties"
    lines = {
        "listeners": f"PLAINTEXT://127.0.0.1:{port or free_port()}",
        "log.dirs": str(data),
        "node.id": "1",
        **(settings or {}),
    }
    file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    ended = subprocess.run(
        [sys.executable, "-m", "headrace.api.cli", "server", "start", str(file)],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        preexec_fn=before_exec,
        check=False,
    )
    assert ended.returncode == EXIT_FAILURE, (ended.returncode, ended.stderr)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert not ended.stdout, ended.stdout
    return ended.stderr
