"""Builds the Cython modules; everything else about the package stands in pyproject.toml.

`src/` is the package `headrace`.  Cython looks for folders of the package's name when it resolves a
`cimport`, so a link `build/cimport/headrace -> src` is made first and given as its include path.
HEADRACE_DEBUG=1 turns on bounds checks and line tracing in every module.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
DEBUG = os.environ.get("HEADRACE_DEBUG") == "1"
JOBS = int(os.environ.get("HEADRACE_BUILD_JOBS", os.cpu_count() or 1))

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "linetrace": DEBUG,
    # What threads share is locked or atomic (src/core/README.md), so a free-threaded
    # interpreter leaves its GIL off when it imports a module.
    "freethreading_compatible": True,
}


def link_package_name() -> Path:
    """The folder that holds `headrace` as a link to `src`, made if it is not there."""
    include = ROOT / "build" / "cimport"
    include.mkdir(parents=True, exist_ok=True)
    link = include / "headrace"
    if link.is_symlink() and link.resolve() != ROOT / "src":
        link.unlink()
    if not link.exists():
        link.symlink_to(ROOT / "src", target_is_directory=True)
    return include


def extensions() -> list[Extension]:
    """One extension a .pyx file, named after its place below `src`."""
    macros = [("CYTHON_TRACE", "1")] if DEBUG else []
    found = []
    for path in sorted((ROOT / "src").rglob("*.pyx")):
        relative = path.relative_to(ROOT / "src").with_suffix("")
        found.append(
            Extension(
                ".".join(("headrace", *relative.parts)),
                [str(path.relative_to(ROOT))],
                extra_compile_args=["-O1" if DEBUG else "-O3", "-fno-strict-aliasing"],
                define_macros=macros,
                include_dirs=["src/core"],
            )
        )
    return found


include_path = link_package_name()
setup(
    ext_modules=cythonize(
        extensions(),
        include_path=[str(include_path)],
        build_dir="build",
        compiler_directives=DIRECTIVES,
        nthreads=JOBS,
    ),
    options={"build_ext": {"parallel": JOBS}},
)
