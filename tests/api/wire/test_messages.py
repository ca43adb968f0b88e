"""Every message we declare, at every version, byte for byte against kio and kafka-python.

Both keep their own tables of the protocol; a field that is misnamed, misplaced, of a wrong type or
with a wrong default in ours shows here.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.api.wire import codec
from headrace.api.wire.schema import Message
from tests.support.foreign_codecs import kafka_python_bytes, kafka_python_knows, kio_bytes
from tests.support.wire_bodies import bodies, declared_versions, id_of, skeleton

quick = settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def encode(message: Message, version: int, body: dict[str, Any]) -> bytes:
    if message.name.endswith("Request"):
        return codec.encode_request(message.api_key, version, body)
    return codec.encode_response(message.api_key, version, body)


def decode(message: Message, version: int, data: bytes) -> dict[str, Any]:
    if message.name.endswith("Request"):
        return codec.decode_request(message.api_key, version, data)
    return codec.decode_response(message.api_key, version, data)


@pytest.mark.parametrize(("message", "version"), declared_versions(), ids=id_of)
@quick
@given(data=st.data())
def test_a_message_is_written_as_others_write_it_and_read_back(
    message: Message, version: int, data: st.DataObject
) -> None:
    body = data.draw(bodies(message.fields, version))
    encoded = encode(message, version, body)
    assert encoded == kio_bytes(message, version, body)
    if kafka_python_knows(message, version):
        assert encoded == kafka_python_bytes(message, version, body)
    decoded = decode(message, version, encoded)
    assert {name: decoded[name] for name in body} | decoded == decoded
    assert encode(message, version, decoded) == encoded


@pytest.mark.parametrize(("message", "version"), declared_versions(), ids=id_of)
def test_missing_fields_mean_what_others_say_they_mean(message: Message, version: int) -> None:
    if not kafka_python_knows(message, version):
        pytest.skip("kafka-python does not know this version")
    for body in ({}, skeleton(message.fields, version)):
        assert encode(message, version, body) == kafka_python_bytes(message, version, body)
