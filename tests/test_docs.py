"""What the README files promise exists: paths, commands, the list of dependencies."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT

READMES = [
    path
    for path in sorted(ROOT.rglob("README.md"))
    if not {"build", ".venv", "node_modules"} & set(path.relative_to(ROOT).parts)
]
_PATH = re.compile(r"`((?:src|tests|benchmarks|examples|\.ci)/[\w./-]*)`")


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_a_readme_names_exists(readme: Path) -> None:
    missing = [name for name in _PATH.findall(readme.read_text()) if not (ROOT / name).exists()]
    assert not missing, missing


def test_the_readme_opens_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "pip install . && headrace up" in text
    assert "pip install -e '.[test]' && pytest" in text


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "pip install -e '.[test]' && pytest" in script
    assert "pip install . && headrace up" in script


def test_every_dependency_is_justified_in_the_readme() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    section = text.split("## Dependencies", 1)[1].split("\n## ", 1)[0]
    names = [re.split(r"[<>=;\[ ]", requirement)[0] for requirement in project["dependencies"]]
    missing = [name for name in names if f"`{name}`" not in section]
    assert not missing, missing


def test_the_changelog_names_the_current_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
