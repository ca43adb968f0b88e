"""The text format of Kafka's configuration files (java.util.Properties), read only.

name=value        also `name: value` and `name value`; blanks around both are dropped
# or !            a comment, when it is the first character of a line
\\ at line end     joins the next line, whose leading blanks are dropped
\\t \\n \\r \\f \\uXXXX, and \\ before anything else stands for that character itself
"""

from collections.abc import Iterator

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_BLANKS = " \t\f"


def parse_java_properties(text: str) -> dict[str, str]:
    """The settings of a `.properties` file; of a repeated name the last value counts.

    Raises ValueError on a malformed \\u escape, naming it.
    """
    settings: dict[str, str] = {}
    for line in _logical_lines(text):
        name, value = _split_setting(line)
        settings[_unescape(name)] = _unescape(value).strip()
    return settings


def _logical_lines(text: str) -> Iterator[str]:
    """Lines without comments and blank ones, continued lines joined."""
    pending = ""
    for raw in text.splitlines():
        line = raw.lstrip(_BLANKS)
        if not pending and (not line or line[0] in "#!"):
            continue
        line = pending + line
        if _ends_with_odd_backslashes(line):
            pending = line[:-1]
            continue
        pending = ""
        yield line
    if pending:
        yield pending


def _ends_with_odd_backslashes(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split_setting(line: str) -> tuple[str, str]:
    """Name and value, still escaped, parted at the first unescaped `=`, `:` or blank."""
    position = 0
    while position < len(line) and line[position] not in "=:" + _BLANKS:
        position += 2 if line[position] == "\\" else 1
    name = line[:position]
    rest = line[position:].lstrip(_BLANKS)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANKS)
    return name, rest


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    pieces: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character != "\\" or position == len(text):
            pieces.append(character)
            continue
        escaped = text[position]
        position += 1
        if escaped == "u":
            digits = text[position : position + 4]
            if len(digits) != 4 or not all(d in "0123456789abcdefABCDEF" for d in digits):
                raise ValueError(f"\\u{digits} is no \\uXXXX escape with four hexadecimal digits")
            pieces.append(chr(int(digits, 16)))
            position += 4
        else:
            pieces.append(_ESCAPES.get(escaped, escaped))
    return "".join(pieces)
