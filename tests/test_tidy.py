"""House style that a machine can hold: sizes, banned words, orphans, contracts beside Cython."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_tree import (
    ROOT,
    SOURCE,
    imports_of,
    module_name,
    source_files,
)

MAX_COLUMNS = 100
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 50

CHECKED = [
    path
    for folder in ("src", "tests", "benchmarks")
    for path in source_files(ROOT / folder, (".py", ".pyx", ".pxd", ".pyi"))
]
# Entry points that the outside names: nobody inside imports them.
DOORS = {"", "api.cli.__main__", "api.cli.kafka_scripts.__main__", "api.embedded.pytest_plugin"}


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_lines_fit_the_column_limit() -> None:
    wrong = [
        f"{_relative(path)}:{number}"
        for path in CHECKED
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > MAX_COLUMNS
    ]
    assert not wrong, wrong


def test_files_fit_the_line_limit() -> None:
    sizes = {_relative(path): len(path.read_text().splitlines()) for path in CHECKED}
    wrong = {name: lines for name, lines in sizes.items() if lines > MAX_FILE_LINES}
    assert not wrong, wrong


def _python_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


_CYTHON_DEF = re.compile(r"^(\s*)(?:async def|def|cdef|cpdef)\b[^\n]*\(")


def _cython_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Functions of a .pyx by indentation: from `def` to the last line that is deeper than it."""
    lines = path.read_text().splitlines()
    for start, line in enumerate(lines):
        match = _CYTHON_DEF.match(line)
        if match is None:
            continue
        depth, end = len(match[1]), start
        for number in range(start + 1, len(lines)):
            text = lines[number]
            if not text.strip():
                continue
            indent = len(text) - len(text.lstrip())
            if indent <= depth and not text.lstrip().startswith((")", "]", "}")):
                break
            end = number
        yield line.strip(), end - start + 1


def test_functions_fit_the_line_limit() -> None:
    wrong = []
    for path in CHECKED:
        if path.suffix == ".pyx":
            functions = _cython_functions(path)
        elif path.suffix == ".py":
            functions = _python_functions(path)
        else:
            continue
        wrong += [
            f"{_relative(path)}: {name} has {lines} lines"
            for name, lines in functions
            if lines > MAX_FUNCTION_LINES
        ]
    assert not wrong, wrong


def test_every_module_is_imported_by_somebody() -> None:
    modules = {module_name(path) for path in source_files()}
    imported = {
        arrow.target
        for path in source_files()
        for arrow in imports_of(path, path.read_text())
        if arrow.source != arrow.target
    }
    named = set(re.findall(r"\bheadrace\.([\w.]+)", (ROOT / "pyproject.toml").read_text()))
    # The command table and the script table name their modules as text, to import them lazily.
    for table in ("__main__.py", "kafka_scripts/__init__.py", "kafka_scripts/home.py"):
        path = SOURCE / "api" / "cli" / table
        if path.exists():
            package = "api.cli.kafka_scripts" if "/" in table else "api.cli"
            named |= {f"{package}.{word}" for word in re.findall(r"\"(\w+)\"", path.read_text())}
    packages = {module_name(path) for path in SOURCE.rglob("__init__.py")}
    orphans = modules - imported - DOORS - named - packages
    assert not orphans, sorted(orphans)


def test_every_cython_module_has_its_contract_and_its_stub() -> None:
    wrong = [
        _relative(path)
        for path in source_files(SOURCE, (".pyx",))
        if not path.with_suffix(".pxd").exists() or not path.with_suffix(".pyi").exists()
    ]
    assert not wrong, wrong


def test_every_source_file_opens_with_a_docstring() -> None:
    wrong = [
        _relative(path)
        for path in source_files()
        if path.read_text() and not path.read_text().lstrip("#!/usr \n").startswith(('"""', 'r"""'))
    ]
    assert not wrong, wrong


BANNED = {
    r"\bDEF \w+ =": "constants are a cdef enum",
    r"^\s*include \"": "no include of Cython source",
    r"\bexcept\s*:": "name what is caught",
    r"except \w+:\s*\n\s+pass\b": "never catch to go on in silence",
    r"\btime\.sleep\(": "wait for an event",
    r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b": "finish it, or say it in the README",
    r"0\.0\.0\.0:\d": "no listener on every interface",
}


@pytest.mark.parametrize("pattern", BANNED, ids=lambda pattern: BANNED[pattern].replace(" ", "-"))
def test_banned_words_are_absent(pattern: str) -> None:
    found = re.compile(pattern, re.MULTILINE)
    wrong = [
        f"{_relative(path)}: {match[0]!r}"
        for path in source_files()
        for match in found.finditer(path.read_text())
    ]
    assert not wrong, f"{BANNED[pattern]}: {wrong}"
