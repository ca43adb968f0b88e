"""The same message written by two other implementations of the protocol: kio and kafka-python."""

import dataclasses
import importlib
import io
import pkgutil
import re
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, get_args

import kafka.protocol
import kio.index
from kafka.protocol.api_message import ApiMessage
from kio.schema.errors import ErrorCode as KioErrorCode
from kio.serial import entity_writer

from headrace.api.wire.schema import FieldSpec, Message

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- kio -----------------------------------------------------------------------------------------


def kio_bytes(message: Message, version: int, body: dict[str, Any]) -> bytes:
    """`body`, which holds every plain field of the version, as kio writes it."""
    load = (
        kio.index.load_request_schema
        if message.name.endswith("Request")
        else kio.index.load_response_schema
    )
    return _written_by_kio(load(message.api_key, version), body)


def kio_stored_bytes(message: Message, version: int, body: dict[str, Any]) -> bytes:
    """The same for records that have no API key."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", message.name).lower()
    module = importlib.import_module(f"kio.schema.{name}.v{version}.data")
    return _written_by_kio(getattr(module, message.name), body)


def _written_by_kio(entity_type: Any, body: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    entity_writer(entity_type)(out, _kio_entity(entity_type, body))
    return out.getvalue()


def _kio_entity(entity_type: Any, body: dict[str, Any]) -> Any:
    """An object of kio's class; it must have the very fields of `body`."""
    left = dict(body)
    arguments = {}
    for field in dataclasses.fields(entity_type):
        # kio calls a field that holds a duration `timeout`, not `timeout_ms`.
        name = field.name if field.name in left else f"{field.name}_ms"
        if name not in left:
            assert "tag" in field.metadata, f"{entity_type.__name__}.{field.name} is not declared"
            continue
        arguments[field.name] = _kio_value(field, left.pop(name))
    assert not left, f"{entity_type.__name__} has no {sorted(left)}"
    return entity_type(**arguments)


def _kio_value(field: Any, value: Any) -> Any:
    if value is None:
        return None
    nested = _dataclass_in(field.type)
    if isinstance(value, list):
        return tuple(_kio_entity(nested, v) if nested else _kio_scalar(field, v) for v in value)
    return _kio_entity(nested, value) if nested else _kio_scalar(field, value)


def _dataclass_in(annotation: Any) -> Any:
    """The dataclass inside `X`, `X | None` or `tuple[X, ...]`, if there is one."""
    if dataclasses.is_dataclass(annotation):
        return annotation
    return next((found for a in get_args(annotation) if (found := _dataclass_in(a))), None)


def _kio_scalar(field: Any, value: Any) -> Any:
    match field.metadata["kafka_type"]:
        case "error_code":
            return KioErrorCode(value)
        case "timedelta_i32" | "timedelta_i64":
            return timedelta(milliseconds=value)
        case "datetime_i64":
            return EPOCH + timedelta(milliseconds=value)
        case "uuid":
            return uuid.UUID(bytes=value)
    return value


# --- kafka-python --------------------------------------------------------------------------------


@cache
def _kafka_python_classes() -> dict[str, Any]:
    """Its message classes by name."""
    for module in pkgutil.walk_packages(kafka.protocol.__path__, "kafka.protocol."):
        if ".old" not in module.name and "generate" not in module.name:
            importlib.import_module(module.name)
    found: dict[str, Any] = {}
    for cls in ApiMessage.__subclasses__():
        found.setdefault(cls.__name__, cls)
    return found


def kafka_python_knows(message: Message, version: int) -> bool:
    """Whether kafka-python has this message at this version."""
    cls = _kafka_python_classes().get(message.name)
    return cls is not None and version <= cls.max_version


def kafka_python_bytes(message: Message, version: int, body: dict[str, Any]) -> bytes:
    """`body` as kafka-python writes it; missing fields get the defaults it knows."""
    cls = _kafka_python_classes()[message.name]
    arguments = _kafka_python_arguments(cls, message.fields, version, body)
    encoded: bytes = cls(version=version, **arguments).encode()
    return bytes(encoded)


def _kafka_python_arguments(
    cls: Any, fields: tuple[FieldSpec, ...], version: int, body: dict[str, Any]
) -> dict[str, Any]:
    specs = {spec.name: spec for spec in fields}
    arguments: dict[str, Any] = {}
    for name, value in body.items():
        if name.endswith("authorized_operations") and "authorized_operations" in cls._struct.fields:
            # kafka-python gives bit fields as sets, most of them by the same name.
            arguments["authorized_operations"] = {bit for bit in range(32) if value >> bit & 1}
            continue
        field = cls._struct.fields[name]
        arguments[name] = _kafka_python_value(field, specs[name], version, value)
    return arguments


def _kafka_python_value(field: Any, spec: FieldSpec, version: int, value: Any) -> Any:
    if value is None:
        return None
    if spec.type_name == "struct":
        cls = field.data_class
        if spec.is_array:
            return [
                cls(version=version, **_kafka_python_arguments(cls, spec.fields, version, v))
                for v in value
            ]
        return cls(version=version, **_kafka_python_arguments(cls, spec.fields, version, value))
    if spec.type_name == "uuid":
        return [uuid.UUID(bytes=v) for v in value] if spec.is_array else uuid.UUID(bytes=value)
    return value
