"""Imports run downward only: `core` <- `raft` <- `api`, and the finer table inside `api`."""

import re
import sys
import tomllib

import pytest

from tests.support.source_tree import (
    ROOT,
    SOURCE,
    Arrow,
    absolute_imports,
    imports_of,
    module_name,
    source_files,
)

# part -> what it may import of ours; the longest prefix that matches a module is its part.
MAY_IMPORT: dict[str, set[str]] = {
    "": {"core.errors", "api.embedded", "api.server"},
    "core": set(),
    "raft": {"core"},
    "api.wire": {"core"},
    "api.coordinator": {"raft", "core", "api.wire", "api.broker_config"},
    "api.broker_config": {"core"},
    "api.takeover": {"raft", "core", "api.wire", "api.broker_config"},
    "api.membership": {"api.broker_config", "raft", "core"},
    "api.deadlines": set(),
    "api.leader_waits": {"raft"},
    "api.changes_awaited": {"raft"},
    "api.broker": {
        "api.broker_config",
        "api.deadlines",
        "api.changes_awaited",
        "api.leader_waits",
        "api.membership",
        "api.coordinator",
        "api.takeover",
        "api.wire",
        "raft",
        "core",
    },
    "api.handlers": {
        "api.broker",
        "api.broker_config",
        "api.coordinator",
        "raft",
        "core",
        "api.wire",
    },
    "api.server": {
        "api.handlers",
        "api.broker",
        "api.broker_config",
        "api.coordinator",
        "api.wire",
        "core",
    },
    # raft: a store is a node without sockets.  Topics, settings and leader epochs have one truth,
    # the journal that a broker of the same folder replays.
    # takeover: so that a folder of Kafka's opens as it is.  coordinator: a program's consumer
    # groups are Kafka's, so it keeps them with the broker's own code.
    "api.embedded": {
        "core",
        "raft",
        "api.takeover",
        "api.coordinator",
        "api.handlers.routes",
        "api.server",
        "api.broker_config",
        "api.wire",
    },
    "api.cli": {"api", "raft", "core", ""},
}

# Only these files may import the library named.
SINGLE_DOORS = {
    "pysyncobj": {"raft/_pysyncobj.py"},
    "mmap": {"core/mapped_file.pyx"},
    "pickle": set(),
    "random": {"core/clock.py"},
    "time": {"core/clock.py"},
}
# People's programs that measure or wait on a terminal are no part of the simulated system.
DOOR_EXEMPT = {"api.cli"}

MODULES = {module_name(path) for path in source_files()}


def part_of(module: str) -> str:
    """The row of MAY_IMPORT that rules `module`."""
    rows = [row for row in MAY_IMPORT if row and (module == row or module.startswith(row + "."))]
    return max(rows, key=len, default="")


def is_allowed(arrow: Arrow) -> bool:
    source, target = part_of(arrow.source), part_of(arrow.target)
    if source == target:
        return True
    return any(
        arrow.target == allowed or arrow.target.startswith(allowed + ".") or target == allowed
        for allowed in MAY_IMPORT[source]
    )


def our_arrows() -> list[Arrow]:
    found = []
    for path in source_files():
        for arrow in imports_of(path, path.read_text()):
            if arrow.target in MODULES and arrow.target and arrow.target != arrow.source:
                found.append(arrow)
    return found


def test_imports_run_downward_only() -> None:
    wrong = [f"{arrow.source} -> {arrow.target}" for arrow in our_arrows() if not is_allowed(arrow)]
    assert not wrong, wrong


@pytest.mark.parametrize(
    "arrow",
    [
        Arrow("core.log", "raft.partition"),
        Arrow("raft.partition", "api.broker"),
        Arrow("api.wire.codec", "raft.errors"),
        Arrow("api.handlers.produce", "api.server.connection"),
        Arrow("api.coordinator.group_state", "api.handlers.groups"),
        Arrow("api.broker", "api.cli.up"),
    ],
)
def test_an_upward_arrow_is_seen(arrow: Arrow) -> None:
    assert not is_allowed(arrow)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("from ..raft.partition import Partition\n", "raft.partition"),
        ("from ..raft.partition cimport Partition\n", "raft.partition"),
        ("from ..raft import (\n    partition,\n    isr,\n)\n", "raft.isr"),
        ("from . import log\n", "core.log"),
    ],
)
def test_relative_imports_are_resolved(text: str, target: str) -> None:
    arrows = imports_of(SOURCE / "core" / "log_segment.pyx", text)
    assert target in {arrow.target for arrow in arrows}


def test_our_own_package_is_imported_relatively() -> None:
    wrong = [
        str(path.relative_to(SOURCE))
        for path in source_files()
        if "headrace" in absolute_imports(path.read_text())
    ]
    assert not wrong, wrong


def test_single_doors_are_the_only_importers() -> None:
    wrong = []
    for path in source_files():
        name = str(path.relative_to(SOURCE))
        if part_of(module_name(path)) in DOOR_EXEMPT:
            continue
        for library in absolute_imports(path.read_text()) & set(SINGLE_DOORS):
            if name not in SINGLE_DOORS[library]:
                wrong.append(f"{name} imports {library}")
    assert not wrong, wrong


_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", re.MULTILINE)


def test_only_declared_libraries_are_imported_at_run_time() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    offered = [requirement for name in extras if name != "test" for requirement in extras[name]]
    declared = {
        re.split(r"[<>=;\[ ]", requirement)[0].replace("-", "_")
        for requirement in [*project["dependencies"], *offered]
    }
    wrong = []
    for path in source_files():
        at_run_time = _TYPES_ONLY.sub("", path.read_text())
        foreign = absolute_imports(at_run_time) - set(sys.stdlib_module_names)
        foreign -= declared | {"pytest"} | {"libc", "cpython", "cython", "posix", "numpy"}
        if foreign:
            wrong.append(f"{path.relative_to(SOURCE)} imports {sorted(foreign)}")
    assert not wrong, wrong
