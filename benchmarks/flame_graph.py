"""Stacks as a flame graph: an SVG without a script, a rectangle a frame, as wide as its samples.

Reads what `perf script` prints and what `py-spy record --format raw` writes.  A frame's share
stands in its tooltip; colours tell kernel, our own C, Python and libraries apart.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

Stacks = Counter[tuple[str, ...]]

WIDTH = 1200
ROW = 17
TOP = 40
# Narrower frames are left out: nobody can read them, and they are most of the file.
SMALLEST_PX = 0.8
LETTER_PX = 6.6
LEGEND = "orange: kernel, green: headrace, blue: Python, grey: libraries"
KERNEL, OURS, PYTHON, LIBRARY = "#e8a15b", "#7fb87f", "#7ea6d9", "#c9c3b8"

_PERF_FRAME = re.compile(r"^\s+[0-9a-f]+ (?P<name>.+) \((?P<object>[^()]*(?:\([^()]*\))?)\)$")


def fold_perf_script(text: str) -> Stacks:
    """Samples of `perf script`, outermost frame first; kernel frames end with `_[k]`."""
    stacks: Stacks = Counter()
    frames: list[str] = []
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if frames:
                stacks[tuple(reversed(frames))] += 1
            frames = []
            continue
        found = _PERF_FRAME.match(line)
        if found is None:
            continue
        name = found["name"].split("+0x")[0]
        is_kernel = found["object"].startswith("[") and found["object"] != "[unknown]"
        frames.append(f"{name}_[k]" if is_kernel else _short(name, found["object"]))
    return stacks


def _short(name: str, where: str) -> str:
    """A function's name for people; the file that it is in where it has none."""
    if name == "[unknown]":
        return f"[{where.rpartition('/')[2]}]"
    return _cython_name(name) or name


def _cython_name(name: str) -> str:
    """`headrace.core.log_segment.append` of `__pyx_f_8headrace_4core_11log_segment_append`."""
    found = re.match(r"__pyx_[a-z]+_(?=\d+headrace_)", name)
    if found is None:
        return ""
    parts, rest = [], name[found.end() :]
    while (part := re.match(r"(\d+)", rest)) is not None:
        length, start = int(part[1]), part.end()
        parts.append(rest[start : start + length])
        rest = rest[start + length :].removeprefix("_")
    return ".".join([*parts, rest])


def fold_raw(text: str) -> Stacks:
    """`outer;inner;innermost count` a line, as py-spy writes it."""
    stacks: Stacks = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        if frames and count.isdigit():
            stacks[tuple(frames.split(";"))] += int(count)
    return stacks


@dataclass
class Frame:
    """A call and what it called."""

    name: str
    samples: int = 0
    inner: dict[str, "Frame"] = field(default_factory=dict)


def tree_of(stacks: Stacks) -> Frame:
    root = Frame("all")
    for frames, count in stacks.items():
        root.samples += count
        here = root
        for name in frames:
            here = here.inner.setdefault(name, Frame(name))
            here.samples += count
    return root


def colour_of(name: str) -> str:
    if name.endswith("_[k]"):
        return KERNEL
    if "headrace" in name or name.startswith("hr_"):
        return OURS
    if name.startswith(("_Py", "Py", "py")) or ".py" in name:
        return PYTHON
    return LIBRARY


def svg(stacks: Stacks, title: str) -> str:
    """The picture; the outermost call lies at the bottom."""
    root = tree_of(stacks)
    scale = WIDTH / max(1, root.samples)
    boxes: list[tuple[int, float, Frame]] = []

    def place(frame: Frame, depth: int, left: float) -> None:
        if frame.samples * scale < SMALLEST_PX:
            return
        boxes.append((depth, left, frame))
        for inner in sorted(frame.inner.values(), key=lambda each: each.name):
            place(inner, depth + 1, left)
            left += inner.samples * scale

    place(root, 0, 0.0)
    height = TOP + ROW * (1 + max(depth for depth, _, _ in boxes))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="monospace" font-size="11">',
        f'<text x="4" y="16" font-size="13">{escape(title)}</text>',
        f'<text x="4" y="31">{LEGEND}</text>',
    ]
    for depth, left, frame in boxes:
        lines.append(_box(frame, left, height - ROW * (depth + 1), scale, root.samples))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _box(frame: Frame, left: float, top: float, scale: float, whole: int) -> str:
    width = frame.samples * scale
    share = 100 * frame.samples / max(1, whole)
    letters = int((width - 4) / LETTER_PX)
    name = frame.name.removesuffix("_[k]")
    text = name if len(name) <= letters else name[: max(0, letters - 1)] + "…"
    label = f'<text x="{left + 2:.1f}" y="{top + 12:.0f}">{escape(text)}</text>' * (letters > 2)
    return (
        f"<g><title>{escape(name)} {share:.1f} %</title>"
        f'<rect x="{left:.1f}" y="{top:.0f}" width="{max(width - 0.3, 0.3):.1f}" '
        f'height="{ROW - 1}" fill="{colour_of(frame.name)}"/>{label}</g>'
    )
