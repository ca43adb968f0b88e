"""Bytes from a stranger: the codec reads them or raises MalformedBytesError, and nothing else.

Three sources: noise, intact messages cut short, and intact messages with bytes overwritten (lengths
and counts among them).  What was read must be writable again, and never took more memory than the
bytes could justify.
"""

import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.api.wire import codec, headers, registry
from headrace.api.wire.schema import Message
from headrace.core.errors import MalformedBytesError
from tests.support.wire_bodies import bodies, declared_versions, id_of, skeleton

REQUESTS = [(m, v) for m, v in declared_versions() if m.name.endswith("Request")]
LONG_LENGTHS = [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\x7f\xff"]
quick = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def read(message: Message, version: int, data: bytes) -> dict[str, Any] | None:
    """The request in `data`, or None if it was refused in the documented way."""
    try:
        return codec.decode_request(message.api_key, version, data)
    except MalformedBytesError:
        return None


@quick
@given(st.sampled_from(REQUESTS), st.binary(max_size=300))
def test_noise_is_refused_or_read(request: tuple[Message, int], noise: bytes) -> None:
    message, version = request
    body = read(message, version, noise)
    if body is not None:
        again = codec.encode_request(message.api_key, version, body)
        assert codec.decode_request(message.api_key, version, again) == body


@pytest.mark.parametrize(("message", "version"), REQUESTS, ids=id_of)
def test_every_cut_of_a_message_is_malformed(message: Message, version: int) -> None:
    whole = codec.encode_request(message.api_key, version, skeleton(message.fields, version))
    assert read(message, version, whole) is not None
    for size in range(len(whole)):
        with pytest.raises(MalformedBytesError):
            codec.decode_request(message.api_key, version, whole[:size])


@quick
@given(st.data())
def test_overwritten_bytes_are_refused_or_read(data: st.DataObject) -> None:
    message, version = data.draw(st.sampled_from(REQUESTS))
    body = data.draw(bodies(message.fields, version))
    frame = bytearray(codec.encode_request(message.api_key, version, body))
    chance = data.draw(st.randoms(use_true_random=False))
    for _ in range(10):
        read(message, version, overwritten(frame, chance))


def overwritten(frame: bytearray, chance: random.Random) -> bytes:
    """`frame` with one byte, or one length, replaced."""
    damaged = bytearray(frame)
    if damaged:
        position = chance.randrange(len(damaged))
        length = chance.choice([*LONG_LENGTHS, bytes([chance.randrange(256)])])
        damaged[position : position + len(length)] = length
    return bytes(damaged)


@pytest.mark.parametrize(("message", "version"), REQUESTS, ids=id_of)
def test_a_declared_length_alone_never_makes_the_decoder_allocate(
    message: Message, version: int
) -> None:
    whole = codec.encode_request(message.api_key, version, skeleton(message.fields, version))
    read(message, version, whole)  # the plan is made once, outside the measurement
    tracemalloc.start()
    try:
        for position in range(len(whole)):
            for length in LONG_LENGTHS:
                read(message, version, whole[:position] + length + whole[position:])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000


@quick
@given(st.binary(max_size=60))
def test_a_header_of_noise_is_refused_or_read(noise: bytes) -> None:
    try:
        header, body_offset = headers.decode_request_header(noise)
    except MalformedBytesError:
        return
    assert 10 <= body_offset <= len(noise)
    assert header.api_key == int.from_bytes(noise[:2], "big", signed=True)


@quick
@given(st.sampled_from(sorted(registry.STORED)), st.data(), st.binary(max_size=100))
def test_a_stored_record_of_noise_is_refused_or_read(
    kind: str, data: st.DataObject, noise: bytes
) -> None:
    versions = registry.STORED[kind].versions
    version = data.draw(st.integers(versions.low, versions.high))
    try:
        body = codec.decode_stored(kind, version, noise)
    except MalformedBytesError:
        return
    assert codec.decode_stored(kind, version, codec.encode_stored(kind, version, body)) == body
