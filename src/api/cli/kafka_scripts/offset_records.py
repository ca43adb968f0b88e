"""Records of `__consumer_offsets` in the JSON that `kafka-dump-log --offsets-decoder` prints.

    key:     {"type":"1","data":{"group":"g","topic":"t","partition":0}}
    payload: {"version":"3","data":{"offset":5,...}}, or <DELETE>

Names are the protocol's, bytes are base64; what members of protocol type `consumer` wrote inside
their subscription and assignment is taken apart.  Not done: records of KIP-848 and share groups.
"""

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

from ....core.errors import MalformedBytesError
from ....core.kafka_uuid import uuid_to_text
from ...wire.codec import decode_stored
from ...wire.schema import FieldSpec, Message
from ...wire.stored_groups import (
    CONSUMER_PROTOCOL_ASSIGNMENT,
    CONSUMER_PROTOCOL_SUBSCRIPTION,
    GROUP_METADATA_KEY,
    GROUP_METADATA_VALUE,
    OFFSET_COMMIT_KEY,
    OFFSET_COMMIT_VALUE,
)

_DELETED = "<DELETE>"
# Key version -> what its key and its value are.
_KINDS = {
    0: (OFFSET_COMMIT_KEY, OFFSET_COMMIT_VALUE),
    1: (OFFSET_COMMIT_KEY, OFFSET_COMMIT_VALUE),
    2: (GROUP_METADATA_KEY, GROUP_METADATA_VALUE),
}
_EMBEDDED = {
    "subscription": CONSUMER_PROTOCOL_SUBSCRIPTION,
    "assignment": CONSUMER_PROTOCOL_ASSIGNMENT,
}
_LOWERCASE_ESCAPE = re.compile(r"(\\\\)|\\u00([0-9a-f]{2})")


def offset_record_json(key: bytes | None, value: bytes | None) -> tuple[str, str] | None:
    """Key and payload as Kafka's tool prints them; None for a record of another kind."""
    if key is None or len(key) < 2 or (version := _version_of(key)) not in _KINDS:
        return None
    key_message, value_message = _KINDS[version]
    said = _json({"type": str(version), "data": _read(key_message, version, key)})
    if value is None:
        return said, _DELETED
    version = _version_of(value)
    data = _read(value_message, version, value)
    if data.get("protocolType") == "consumer":
        for member in data["members"]:
            for field, message in _EMBEDDED.items():
                member[field] = _embedded(message, member[field])
    return said, _json({"version": str(version), "data": data})


def _version_of(data: bytes) -> int:
    return int.from_bytes(data[:2], "big", signed=True)


def _embedded(message: Message, text: str) -> Any:
    """What a member wrote, taken apart; as base64 where it keeps to no layout that is known."""
    data = base64.b64decode(text)
    try:
        return _read(message, min(_version_of(data), message.versions.high), data)
    except MalformedBytesError:
        return text


def _read(message: Message, version: int, data: bytes) -> dict[str, Any]:
    """The fields that this version of `message` has, in its order."""
    return _struct(message.fields, version, decode_stored(message.name, version, data, 2))


def _struct(fields: Sequence[FieldSpec], version: int, values: dict[str, Any]) -> dict[str, Any]:
    return {
        _camel_case(field.name): _value(field, version, values[field.name])
        for field in fields
        if version in field.versions
        and (field.tag < 0 or values[field.name] != field.default_value())
    }


def _value(field: FieldSpec, version: int, value: Any) -> Any:
    if value is None:
        return None
    if field.is_array:
        return [_scalar(field, version, each) for each in value]
    return _scalar(field, version, value)


def _scalar(field: FieldSpec, version: int, value: Any) -> Any:
    if field.type_name == "struct":
        return _struct(field.fields, version, value)
    if field.type_name == "bytes":
        return base64.b64encode(value).decode()
    return uuid_to_text(value) if field.type_name == "uuid" else value


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Java escapes control characters in capitals.
    return _LOWERCASE_ESCAPE.sub(lambda found: found[1] or "\\u00" + str(found[2]).upper(), text)
