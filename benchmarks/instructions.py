"""How many instructions does each core loop take, and is that still what the table says?

    python -m benchmarks.instructions            # count, and compare with instructions.json
    python -m benchmarks.instructions --update   # write the table: after a change that means to

Instructions are counted by `valgrind --tool=callgrind`, so no noise of the machine moves them.
They belong to one interpreter, compiler and CRC kernel (valgrind shows a processor without AVX-512,
whatever this one is), which the table names; elsewhere there is nothing to compare with.
"""

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .peers.install import BUILD, ROOT, PeerUnavailableError, run_quietly

TABLE = Path(__file__).with_name("instructions.json")
LIMIT_S = 100
# A count may be this much above the table before it is a change.
TOLERANCE = {"core": 0.05, "request": 0.08}


@dataclass(frozen=True)
class Counts:
    """Instructions a unit of each loop, and what they belong to."""

    environment: dict[str, str]
    instructions: dict[str, float]


def count_instructions() -> Counts:
    """Runs the loops in valgrind; raises PeerUnavailableError where that cannot be done here."""
    if shutil.which("valgrind") is None:
        raise PeerUnavailableError("valgrind is not installed (Debian: valgrind)")
    library = _build_marks()
    with tempfile.TemporaryDirectory(prefix="headrace-instructions-") as name:
        folder = Path(name)
        command = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={folder}/callgrind.out",
            sys.executable,
            "-m",
            "benchmarks.instruction_loops",
            str(library),
            str(folder),
        ]
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                check=False,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise PeerUnavailableError(f"no count within {LIMIT_S} s on this machine") from None
        if done.returncode:
            raise RuntimeError(f"the loops failed under valgrind:\n{done.stderr}")
        found = json.loads((folder / "environment.json").read_text())
        found["extensions_built_with"] = _compiler()
        return Counts(found, _read_counts(folder))


def _compiler() -> str:
    """The compiler that builds the extensions here."""
    done = subprocess.run(["gcc", "-dumpfullversion"], check=True, capture_output=True, text=True)
    return f"gcc {done.stdout.strip()}"


def _build_marks() -> Path:
    """The library of marks; it needs valgrind's header, which its package brings along."""
    BUILD.mkdir(parents=True, exist_ok=True)
    source, library = ROOT / "benchmarks/load/callgrind_marks.c", BUILD / "callgrind_marks.so"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        run_quietly(
            ["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)],
            ROOT,
            "counting instructions needs gcc",
        )
    return library


def _read_counts(folder: Path) -> dict[str, float]:
    """Instructions a unit, from callgrind's dumps."""
    totals: dict[tuple[str, int], dict[int, int]] = {}
    for path in folder.glob("callgrind.out.*"):
        text = path.read_text()
        mark = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if mark and total:
            name, rounds, divisor = ast.literal_eval(mark[1])
            totals.setdefault((name, divisor), {})[rounds] = int(total[1])
    counts = {}
    for (name, divisor), by_rounds in totals.items():
        few, many = sorted(by_rounds)
        cost = (by_rounds[many] - by_rounds[few]) / (many - few) / divisor
        counts[name] = round(cost, 2)
    return dict(sorted(counts.items()))


def read_table() -> Counts:
    """What the counts were when somebody last said that they should be so."""
    table = json.loads(TABLE.read_text())
    return Counts(table["environment"], table["instructions"])


def write_table(counts: Counts) -> None:
    content = {"environment": counts.environment, "instructions": counts.instructions}
    TABLE.write_text(json.dumps(content, indent=2) + "\n")


def tolerance_of(name: str) -> float:
    return TOLERANCE["request" if "request" in name else "core"]


def grown(counts: Counts, table: Counts) -> list[str]:
    """A line for each loop that takes more than the table allows, or is in only one of them."""
    lines = []
    for name in sorted(counts.instructions.keys() | table.instructions.keys()):
        now, before = counts.instructions.get(name), table.instructions.get(name)
        if now is None or before is None:
            lines.append(f"{name}: {before} in the table, {now} counted")
        elif now > before * (1 + tolerance_of(name)):
            lines.append(f"{name}: {before} -> {now} ({now / before - 1:+.1%})")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write the table")
    args = parser.parse_args()
    try:
        counts = count_instructions()
    except PeerUnavailableError as error:
        sys.exit(str(error))
    table = read_table() if TABLE.exists() else Counts({}, {})
    print(" ".join(f"{key}={value}" for key, value in counts.environment.items()))
    print("\n| instructions | counted | table |\n|---|---|---|")
    for name, cost in counts.instructions.items():
        print(f"| {name} | {cost:,.2f} | {table.instructions.get(name, '-')} |")
    if args.update:
        write_table(counts)
        return 0
    if counts.environment != table.environment:
        print(f"\nthe table belongs to {table.environment}: not compared")
        return 0
    changes = grown(counts, table)
    print("\n" + ("\n".join(changes) or "nothing takes more than the table says"))
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
