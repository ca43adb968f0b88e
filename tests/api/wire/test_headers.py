"""Headers: client_id is never compact, a response to ApiVersions never has tags."""

import pytest

from headrace.api.wire import headers
from headrace.core.errors import MalformedBytesError

CLASSIC = bytes.fromhex("0003 0001 00000009 0002 6964")


def test_a_classic_header_ends_with_the_client_id() -> None:
    header, body_offset = headers.decode_request_header(CLASSIC + b"body")
    assert (header.api_key, header.api_version, header.correlation_id) == (3, 1, 9)
    assert header.client_id == "id"
    assert body_offset == len(CLASSIC)


def test_a_flexible_header_has_a_tag_buffer_behind_a_classic_client_id() -> None:
    frame = bytes.fromhex("0003 0009 00000009 ffff 01 07 02 aabb") + b"body"
    header, body_offset = headers.decode_request_header(frame)
    assert header.client_id is None
    assert frame[body_offset:] == b"body"


def test_an_unknown_key_or_version_is_read_as_far_as_the_client_id() -> None:
    header, body_offset = headers.decode_request_header(b"\x7f\xff" + CLASSIC[2:])
    assert (header.api_key, body_offset) == (32767, len(CLASSIC))
    header, _ = headers.decode_request_header(bytes.fromhex("0012 0063 00000001 ffff 00"))
    assert (header.api_key, header.api_version) == (18, 99)


@pytest.mark.parametrize("cut", range(len(CLASSIC)))
def test_a_header_cut_short_is_malformed(cut: int) -> None:
    with pytest.raises(MalformedBytesError):
        headers.decode_request_header(CLASSIC[:cut])


def test_a_response_header_has_tags_in_flexible_versions_except_for_api_versions() -> None:
    assert headers.encode_response_header(3, 8, 5) == bytes.fromhex("00000005")
    assert headers.encode_response_header(3, 9, 5) == bytes.fromhex("00000005 00")
    assert headers.encode_response_header(18, 3, 5) == bytes.fromhex("00000005")
    assert headers.decode_response_header(3, 9, bytes.fromhex("00000005 00")) == (5, 5)
    assert headers.decode_response_header(18, 3, bytes.fromhex("00000005 00")) == (5, 4)


def test_a_request_frame_is_read_back() -> None:
    frame = headers.encode_request_frame(3, 12, 42, "me", {"topics": None})
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    header, body_offset = headers.decode_request_header(frame, 4)
    assert (header.api_key, header.api_version, header.correlation_id) == (3, 12, 42)
    assert header.client_id == "me"
    assert frame[body_offset:] == bytes.fromhex("00 01 00 00")
