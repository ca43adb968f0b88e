"""The headers in front of requests and responses, and frames put together from them.

    FRAME      int32 size of what follows, header, body
    REQUEST    int16 api_key, int16 api_version, int32 correlation_id,
               string client_id (always with an int16 length), [tag buffer if flexible]
    RESPONSE   int32 correlation_id, [tag buffer if flexible; never for ApiVersions]
"""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t

from ...core.wire_buffer cimport ReadBuffer, WriteBuffer
from .codec cimport encode_struct, request_plan

from .registry import REQUESTS, first_flexible_version

cdef enum:
    API_VERSIONS_KEY = 18


@cython.final
cdef class RequestHeader:
    """Who asks for what; `client_id` is None where the client gave no name."""

    def __init__(
        self, int16_t api_key, int16_t api_version, int32_t correlation_id, str client_id=None
    ):
        self.api_key = api_key
        self.api_version = api_version
        self.correlation_id = correlation_id
        self.client_id = client_id

    def __repr__(self):
        return (
            f"RequestHeader(api_key={self.api_key}, api_version={self.api_version}, "
            f"correlation_id={self.correlation_id}, client_id={self.client_id!r})"
        )


cdef dict _first_flexible = {key: first_flexible_version(key) for key in REQUESTS}


cdef bint is_flexible(int64_t api_key, int64_t api_version) except -1:
    """Whether the headers of a request at this version carry a tag buffer."""
    first = _first_flexible.get(api_key)
    return first is not None and api_version >= <int64_t>first


def decode_request_header(frame, Py_ssize_t position=0):
    """The header at byte `position` of `frame` (without its size), and where the body begins.

    Keys and versions we do not know are read as far as client_id: enough to answer or to refuse.
    Raises MalformedBytesError.
    """
    cdef ReadBuffer source = ReadBuffer(frame, position)
    cdef RequestHeader header = RequestHeader.__new__(RequestHeader)
    header.api_key = source.read_int16()
    header.api_version = source.read_int16()
    header.correlation_id = source.read_int32()
    header.client_id = source.read_string(False)
    if is_flexible(header.api_key, header.api_version):
        source.skip_tagged_fields()
    return header, source.position


def encode_response_header(int64_t api_key, int64_t api_version, int64_t correlation_id):
    """The bytes between a response frame's size and its body."""
    cdef WriteBuffer out = WriteBuffer()
    out.write_int32(correlation_id)
    if api_key != API_VERSIONS_KEY and is_flexible(api_key, api_version):
        out.write_unsigned_varint(0)
    return out.to_bytes()


def decode_response_header(
    int64_t api_key, int64_t api_version, frame, Py_ssize_t position=0
):
    """The correlation id of a response frame (without its size), and where the body begins."""
    cdef ReadBuffer source = ReadBuffer(frame, position)
    cdef int32_t correlation_id = source.read_int32()
    if api_key != API_VERSIONS_KEY and is_flexible(api_key, api_version):
        source.skip_tagged_fields()
    return correlation_id, source.position


def encode_request_frame(
    int64_t api_key, int64_t api_version, int64_t correlation_id, client_id, dict body not None
):
    """A whole request: size, header and body."""
    cdef WriteBuffer out = WriteBuffer()
    out.write_int32(0)
    out.write_int16(api_key)
    out.write_int16(api_version)
    out.write_int32(correlation_id)
    out.write_string(client_id, False)
    if is_flexible(api_key, api_version):
        out.write_unsigned_varint(0)
    encode_struct(out, request_plan(api_key, api_version), body)
    out.patch_int32(0, out.position - 4)
    return out.to_bytes()
