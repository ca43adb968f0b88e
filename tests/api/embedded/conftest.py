"""A store in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[headrace.LogStore]:
    with headrace.open(folder) as opened:
        yield opened
