"""Packages of Debian and PyPI that a peer or a load needs: installed where possible, else said."""

import importlib.util
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "benchmarks"
PYTHON_PEERS = BUILD / "python"
INSTALL_LIMIT_S = 300

_is_allowed = True
_end = math.inf
_failed: set[str] = set()
# Peers are prepared side by side, and apt-get takes one at a time.
_lock = threading.Lock()


class PeerUnavailableError(Exception):
    """A peer cannot be had on this machine; the text says what is missing."""


def forbid_installing() -> None:
    """From now on what is missing is only named."""
    global _is_allowed
    _is_allowed = False


def limit_preparing(limit_s: float) -> None:
    """What is not installed, fetched or built so many seconds from now is given up."""
    global _end
    _end = time.monotonic() + limit_s


def _left_s(limit_s: float = math.inf) -> float | None:
    """How long a step may take; None is for as long as it likes."""
    left = min(limit_s, max(0.0, _end - time.monotonic()))
    return None if left == math.inf else left


def need_program(program: str, *, debian: str) -> None:
    """That `program` can be run, or PeerUnavailableError with the packages that bring it."""
    _need(lambda: shutil.which(program) is not None, program, debian)


def need_script(program: str, *, pypi: str) -> None:
    """That a program of PyPI can be run; it is not fetched, for it has to match this Python."""
    if shutil.which(program) is None:
        raise PeerUnavailableError(f"{program} is not here (pip install {pypi})")


def need_file(path: str, *, debian: str) -> None:
    """That `path` is there, or PeerUnavailableError with the packages that bring it."""
    _need(lambda: Path(path).exists(), path, debian)


def need_module(module: str, *, pypi: str) -> None:
    """That `module` can be imported by a load, or PeerUnavailableError with what brings it.

    What pip brings goes into build/, not into the environment that runs this.
    """
    if str(PYTHON_PEERS) not in sys.path:
        sys.path.append(str(PYTHON_PEERS))
    with _lock:
        importlib.invalidate_caches()
        if importlib.util.find_spec(module) is not None:
            return
        if _is_allowed and pypi not in _failed:
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(PYTHON_PEERS)]
            run_quietly([*command, pypi], ROOT, f"pip install {pypi}")
            importlib.invalidate_caches()
            if importlib.util.find_spec(module) is not None:
                return
        _failed.add(pypi)
    raise PeerUnavailableError(f"{module} is not here (pip install {pypi})")


def python_environment() -> dict[str, str]:
    """What a load in Python is started with, so that it finds those modules too."""
    path = [str(PYTHON_PEERS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


def _need(is_there: Callable[[], bool], what: str, debian: str) -> None:
    if is_there():
        return
    with _lock:
        if is_there():
            return
        may = _is_allowed and debian not in _failed
        if may and _apt_get_install(debian.split()) and is_there():
            return
        _failed.add(debian)
    raise PeerUnavailableError(f"{what} is not here (Debian: apt-get install {debian})")


def _apt_get_install(packages: list[str]) -> bool:
    """Whether apt-get brought them; False where there is none, or no right to use it."""
    if shutil.which("apt-get") is None:
        return False
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (["apt-get", "update", "-q"], install):
            done = subprocess.run(
                [*as_root, *command],
                check=False,
                capture_output=True,
                env=environment,
                timeout=_left_s(INSTALL_LIMIT_S),
            )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def run_quietly(command: list[str], folder: Path, missing: str) -> None:
    """Runs a build step; PeerUnavailableError with its last lines where it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, check=False, capture_output=True, text=True, timeout=_left_s()
        )
    except FileNotFoundError:
        raise PeerUnavailableError(missing) from None
    except subprocess.TimeoutExpired as error:
        took = f"not done within {error.timeout:.0f} s"
        raise PeerUnavailableError(f"{' '.join(command[:3])}: {took}") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise PeerUnavailableError(f"{' '.join(command[:3])}: {' '.join(lines)}")
