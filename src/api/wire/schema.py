"""How a message of the protocol is declared: one line a field, nested by two spaces.

    LINE     name type [versions] [?versions] [#tag] [= default]

    name      Kafka's field name in snake_case
    type      bool int8 int16 int32 int64 uint16 uint32 float64 uuid string bytes records,
              []T an array of one of these, [] an array of structs, {} one struct
              (the fields of a struct follow, two spaces deeper)
    versions  "3+", "0-12" or "5": where the field is on the wire; all versions when left out
    ?         null is allowed in every version, ?7+ from version 7 on
    #n        the field is a tagged field with tag n (KIP-482)
    = value   what an absent field means: a number, true, false, null or a word;
              otherwise 0, false, "", no elements, a struct of defaults

A version of a message is turned into an encoder and decoder by `codec`; the list of them is in
`registry`.
"""

import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ...core.errors import HeadraceError

INTEGERS = frozenset({"int8", "int16", "int32", "int64", "uint16", "uint32"})
SCALARS = INTEGERS | {"bool", "float64", "uuid", "string", "bytes", "records"}
ZERO_UUID = bytes(16)
MAX_VERSION = 32767
INDENT = "  "


class SchemaError(HeadraceError):
    """A declaration that does not follow the notation: our own mistake."""


class VersionRange(NamedTuple):
    """Versions from `low` to `high`, both included; empty when low > high."""

    low: int
    high: int

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.low <= version <= self.high

    @classmethod
    def parse(cls, text: str) -> "VersionRange":
        """Read "3+", "0-12" or "5"."""
        low, dash, high = text.partition("-")
        try:
            if text.endswith("+"):
                return cls(int(text[:-1]), MAX_VERSION)
            return cls(int(low), int(high) if dash else int(low))
        except ValueError:
            raise SchemaError(f"{text!r} is no version range; write 3+, 0-12 or 5") from None


ALL_VERSIONS = VersionRange(0, MAX_VERSION)
NO_VERSION = VersionRange(1, 0)


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a message, over all its versions."""

    name: str
    type_name: str  # a scalar, or "struct"
    is_array: bool
    versions: VersionRange
    nullable_versions: VersionRange
    tag: int  # -1: not a tagged field
    default_text: str | None
    fields: tuple["FieldSpec", ...] = ()

    def default_value(self) -> object:
        """What an absent field means; arrays and structs are made fresh by the codec."""
        text = self.default_text
        if text == "null":
            return None
        if self.is_array:
            return []
        match self.type_name:
            case "struct":
                return {}
            case "string":
                return text or ""
            case "bytes" | "records":
                return b""
            case "uuid":
                return ZERO_UUID
            case "bool":
                return text == "true"
            case "float64":
                return float(text or 0)
        return int(text or 0)


@dataclass(frozen=True)
class Message:
    """A request, a response or a stored record, over all the versions declared here."""

    name: str
    api_key: int  # -1 for stored records
    versions: VersionRange
    flexible: VersionRange
    text: str = field(repr=False)

    @cached_property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The parsed declaration."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        parsed, used = _parse_fields(lines, 0, 0, self.name)
        if used != len(lines):
            raise SchemaError(f"{self.name}: {lines[used]!r} is indented too far or too little")
        return parsed


def declare(name: str, api_key: int, *, versions: str, flexible: str, text: str) -> Message:
    """A message; `flexible` is "none" or the versions that use KIP-482's compact encoding."""
    return Message(
        name=name,
        api_key=api_key,
        versions=VersionRange.parse(versions),
        flexible=NO_VERSION if flexible == "none" else VersionRange.parse(flexible),
        text=text,
    )


def declare_stored(name: str, *, versions: str, flexible: str, text: str) -> Message:
    """The body of a record that brokers keep in their own topics; it has no API key."""
    return declare(name, -1, versions=versions, flexible=flexible, text=text)


def _parse_fields(
    lines: list[str], start: int, depth: int, where: str
) -> tuple[tuple[FieldSpec, ...], int]:
    """The fields at `depth` from line `start` on, and the first line that is not theirs."""
    found: list[FieldSpec] = []
    position = start
    while position < len(lines):
        line = lines[position]
        indent = len(line) - len(line.lstrip())
        if indent < depth * len(INDENT):
            break
        if indent != depth * len(INDENT):
            raise SchemaError(f"{where}: {line!r} is indented too far")
        spec = _parse_line(line, where)
        position += 1
        if spec.type_name == "struct":
            nested, position = _parse_fields(lines, position, depth + 1, f"{where}.{spec.name}")
            spec = FieldSpec(
                spec.name,
                spec.type_name,
                spec.is_array,
                spec.versions,
                spec.nullable_versions,
                spec.tag,
                spec.default_text,
                nested,
            )
        found.append(spec)
    if not found and depth > 0:
        raise SchemaError(f"{where} is a struct without fields")
    return tuple(found), position


def _parse_line(line: str, where: str) -> FieldSpec:
    """One field, without the fields nested in it."""
    left, equals, default_text = line.partition(" = ")
    words = left.split()
    if len(words) < 2:
        raise SchemaError(f"{where}: {line!r} needs a name and a type")
    name, type_word = sys.intern(words[0]), words[1]
    is_array = type_word.startswith("[]")
    type_name = type_word.removeprefix("[]")
    if type_name in ("", "{}"):
        type_name = "struct"
    elif type_name not in SCALARS:
        raise SchemaError(f"{where}: {type_name!r} of {name} is no type")
    versions, nullable, tag = ALL_VERSIONS, NO_VERSION, -1
    for word in words[2:]:
        if word.startswith("?"):
            nullable = VersionRange.parse(word[1:]) if word[1:] else ALL_VERSIONS
        elif word.startswith("#"):
            tag = int(word[1:])
        else:
            versions = VersionRange.parse(word)
    default = default_text.strip() if equals else None
    return FieldSpec(name, type_name, is_array, versions, nullable, tag, default)
