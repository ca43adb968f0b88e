"""What does each message of the protocol cost to write and to read, at its newest version?

A body has one element in each of its arrays and defaults elsewhere, so the figures compare messages
and tell a slow one; `test_wire_codec.py` has the hot ones at their real shapes.
"""

from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.api.wire import codec, registry
from headrace.api.wire.schema import FieldSpec, Message

REPEATS = 10


def newest(table: dict[int, Message]) -> list[Any]:
    return [pytest.param(key, message, id=message.name) for key, message in sorted(table.items())]


def body_of(fields: tuple[FieldSpec, ...], version: int) -> dict[str, Any]:
    return {
        spec.name: [body_of(spec.fields, version)]
        for spec in fields
        if version in spec.versions and spec.is_array and spec.type_name == "struct"
    }


@pytest.mark.parametrize(("api_key", "message"), newest(registry.REQUESTS))
def test_request(benchmark: Any, report: Report, api_key: int, message: Message) -> None:
    version = message.versions.high
    body = body_of(message.fields, version)

    def there_and_back() -> bytes:
        for _ in range(REPEATS):
            encoded = codec.encode_request(api_key, version, body)
            codec.decode_request(api_key, version, encoded)
        return encoded

    encoded = benchmark(there_and_back)
    report(encoded or b"empty", records=REPEATS, size_bytes=REPEATS * len(encoded))


@pytest.mark.parametrize(("api_key", "message"), newest(registry.RESPONSES))
def test_response(benchmark: Any, report: Report, api_key: int, message: Message) -> None:
    version = message.versions.high
    body = body_of(message.fields, version)

    def there_and_back() -> bytes:
        for _ in range(REPEATS):
            encoded = codec.encode_response(api_key, version, body)
            codec.decode_response(api_key, version, encoded)
        return encoded

    encoded = benchmark(there_and_back)
    report(encoded or b"empty", records=REPEATS, size_bytes=REPEATS * len(encoded))
