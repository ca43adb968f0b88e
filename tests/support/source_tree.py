"""The project's source files read as text, and the arrows between them.

Python and Cython files are read alike, because a `cimport` is an arrow too and no import tool
sees it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
SUFFIXES = (".py", ".pyx", ".pxd")

_FROM = re.compile(r"^\s*from\s+(\.*)([\w.]*)\s+c?import\s+(\(?[^#\n]*)", re.MULTILINE)
_PLAIN = re.compile(r"^\s*c?import\s+([\w.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Arrow:
    """`source` imports `target`; both are dotted names below the package, such as `core.log`."""

    source: str
    target: str


def source_files(folder: Path = SOURCE, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Every file below `folder` with one of `suffixes`, without what a build left there."""
    return sorted(
        path
        for suffix in suffixes
        for path in folder.rglob(f"*{suffix}")
        if not {"build", ".venv", "node_modules", "target"} & set(path.parts[len(ROOT.parts) :])
    )


def module_name(path: Path) -> str:
    """`src/core/log.py` -> `core.log`; a folder's `__init__.py` -> the folder's name."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, text: str) -> Iterator[Arrow]:
    """The arrows from one file to others of ours, each relative import resolved by its dots.

    A name imported from a package may be a module or a member: both `package` and `package.name`
    are given, and the caller keeps those which exist.
    """
    source = module_name(path)
    package = source.split(".") if path.stem == "__init__" else source.split(".")[:-1]
    package = [part for part in package if part]
    for dots, dotted, names in _FROM.findall(text):
        if not dots:
            continue
        base = package[: len(package) - (len(dots) - 1)]
        target = ".".join([*base, *([dotted] if dotted else [])])
        yield Arrow(source, target)
        for name in _imported_names(text, names):
            yield Arrow(source, f"{target}.{name}" if target else name)


def absolute_imports(text: str) -> set[str]:
    """The top names that a file imports absolutely."""
    found = {dotted.split(".")[0] for dots, dotted, _ in _FROM.findall(text) if not dots}
    return found | {dotted.split(".")[0] for dotted in _PLAIN.findall(text)}


def _imported_names(text: str, first_line: str) -> list[str]:
    """The names after `import`, over several lines where a bracket opens."""
    if first_line.startswith("("):
        start = text.index(first_line)
        first_line = text[start + 1 : text.index(")", start)]
    without_comments = re.sub(r"#.*", "", first_line)
    return [name.split(" as ")[0].strip() for name in without_comments.split(",") if name.strip()]
