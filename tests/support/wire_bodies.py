"""Generated message bodies, and what our declarations say a missing field means."""

from functools import cache
from typing import Any

from hypothesis import strategies as st

from headrace.api.wire import registry
from headrace.api.wire.schema import FieldSpec, Message

INTEGER_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
LATEST_TIMESTAMP = 2**41  # in the year 2039: other codecs turn timestamps into dates
ERROR_CODES = st.integers(-1, 133)


def declared_versions() -> list[tuple[Message, int]]:
    """Every (message, version) that requests and responses declare."""
    return [
        (message, version)
        for table in (registry.REQUESTS, registry.RESPONSES)
        for _, message in sorted(table.items())
        for version in range(message.versions.low, message.versions.high + 1)
    ]


def id_of(value: object) -> str:
    """How a (message, version) is called in a test's name."""
    return value.name if isinstance(value, Message) else f"v{value}"


def default_body(fields: tuple[FieldSpec, ...], version: int) -> dict[str, Any]:
    """A struct in which every field of this version has its default."""
    return {
        spec.name: default_body(spec.fields, version)
        if spec.type_name == "struct" and spec.default_value() == {}
        else spec.default_value()
        for spec in fields
        if version in spec.versions
    }


def skeleton(fields: tuple[FieldSpec, ...], version: int) -> dict[str, Any]:
    """One element in each array of structs, and nothing else said."""
    return {
        spec.name: [skeleton(spec.fields, version)]
        for spec in fields
        if version in spec.versions and spec.is_array and spec.type_name == "struct"
    }


@cache
def bodies(fields: tuple[FieldSpec, ...], version: int) -> st.SearchStrategy[dict[str, Any]]:
    """Structs with every field of this version; tagged fields only where they are no default."""
    present = [spec for spec in fields if version in spec.versions]
    plain = {spec.name: values(spec, version) for spec in present if spec.tag < 0}
    tagged = [spec for spec in present if spec.tag >= 0]
    whole = st.fixed_dictionaries(
        plain, optional={spec.name: values(spec, version) for spec in tagged}
    )
    if not tagged:
        return whole
    defaults = default_body(tuple(tagged), version)
    return whole.map(
        lambda body: {
            name: value
            for name, value in body.items()
            if name not in defaults or value != defaults[name]
        }
    )


def values(spec: FieldSpec, version: int) -> st.SearchStrategy[Any]:
    """Values of one field; null where this version allows it."""
    single = elements(spec, version)
    found = st.lists(single, max_size=2) if spec.is_array else single
    return st.none() | found if version in spec.nullable_versions else found


def elements(spec: FieldSpec, version: int) -> st.SearchStrategy[Any]:
    """Values of one field that is no array, or of an element of one that is."""
    match spec.type_name:
        case "struct":
            return bodies(spec.fields, version)
        case "string":
            return st.text(max_size=6)
        case "bytes" | "records":
            return st.binary(max_size=200)
        case "uuid":
            return st.binary(min_size=16, max_size=16)
        case "bool":
            return st.booleans()
    if spec.name.endswith("error_code"):
        return ERROR_CODES
    if spec.type_name == "int64" and ("timestamp" in spec.name or spec.name.endswith("_ms")):
        return st.integers(0, LATEST_TIMESTAMP)
    if spec.type_name == "uint16":
        return st.integers(0, 65_535)
    bits = INTEGER_BITS[spec.type_name]
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
