"""Writes `src/api/embedded/API.md` from docstrings: `python -m tests.support.api_reference`."""

import inspect
from collections.abc import Iterator
from typing import Any

import headrace
from tests.support.source_tree import SOURCE

PATH = SOURCE / "api" / "embedded" / "API.md"
HEAD = """# The embedded API

Everything that `import headrace` offers, from the docstrings of the code. Written by
`python -m tests.support.api_reference`; a test holds it to the code.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    names = [name for name in headrace.__all__ if not name.startswith("__")]
    functions = [name for name in names if inspect.isfunction(getattr(headrace, name))]
    for name in functions:
        parts += [f"## `headrace.{name}`\n", _described(getattr(headrace, name), name)]
    for name in sorted(set(names) - set(functions)):
        found = getattr(headrace, name)
        parts.append(f"## `headrace.{name}`\n")
        parts.append(_text_of(found))
        parts += [_described(member, member_name) for member_name, member in _members(found)]
    return "\n".join(parts)


def _members(owner: Any) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, in the order in which they are written, bases first."""
    seen = set()
    for base in reversed(owner.__mro__):
        if base.__module__.split(".")[0] != "headrace":
            continue
        for name in vars(base):
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            member = inspect.getattr_static(owner, name)
            if inspect.getdoc(member) and (callable(member) or inspect.isdatadescriptor(member)):
                yield name, member


def _described(member: Any, name: str) -> str:
    call = _signature(member)
    kind = "await " if inspect.iscoroutinefunction(member) else ""
    text = _text_of(member)
    if kind and hasattr(member, "__wrapped__"):
        text = "The same of the object behind it, awaited.\n"
    return f"### `{kind}{name}{call}`\n\n{text}"


def _signature(member: Any) -> str:
    if not callable(member):
        return ""
    signature = inspect.signature(member)
    parameters = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in signature.parameters.values()
        if each.name not in ("self", "cls")
    ]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def _text_of(member: Any) -> str:
    """Its docstring, without the signature that Cython puts in front."""
    text = inspect.getdoc(member) or ""
    first, _, rest = text.partition("\n")
    if first.endswith(")") and "(self" in first:
        text = rest
    paragraphs = text.strip().split("\n\n")
    quoted = ["    " + part if part.startswith("    ") else part for part in paragraphs]
    return "\n\n".join(quoted) + "\n"


if __name__ == "__main__":
    PATH.write_text(reference())
