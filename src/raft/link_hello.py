"""How a broker link opens: one private Kafka request on the peer's listener, and its answer.

    OFFSET  SIZE  FIELD           the request; integers big-endian
         0     4  size            bytes that follow
         4     2  api_key         31000, never advertised
         6     2  api_version     0; what may change is told by link_version inside the hello
         8     4  correlation_id  0
        12     2  client_id_bytes then the client id
         +     4  hello_bytes     then the hello: a packed value, tag 1

    OFFSET  SIZE  FIELD           the answer
         0     4  size
         4     4  correlation_id  0
         8     4  answer_bytes    then the answer: a packed value, tag 2

The dialer sends nothing behind its request until the answer is there, so that the socket can change
hands.  A probe asks who answers there, and its connection ends with the answer.  A refusal is told
in words, and the connection ends with it.
"""

import struct
from dataclasses import dataclass

from .errors import CorruptCommandError
from .packed_fields import (
    pack_fields,
    read_bool,
    read_fields,
    read_int,
    read_optional_text,
    read_text,
    unpack_fields,
)

LINK_API_KEY = 31000
LINK_VERSION = 1
MAX_HELLO_BYTES = 16 * 1024
CLIENT_ID = b"headrace-broker"

_HELLO_TAG = 1
_ANSWER_TAG = 2
_REQUEST_HEAD = struct.Struct(">hhih")
_ANSWER_HEAD = struct.Struct(">iii")
_SIZE = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class LinkHello:
    """Who speaks: one life of one broker, and where others reach it.

    `cluster_id` is "" while the broker looks for its cluster; `session` is drawn anew by every
    process, `incarnation` survives a clean stop.
    """

    broker_id: int
    session: int
    incarnation: int
    cluster_id: str = ""
    wal_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None
    link_version: int = LINK_VERSION
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """Who answered, and why the link is refused ("" where it is not)."""

    hello: LinkHello
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class LinkResult:
    """What dialing an address came to: who answers there, or in `refusal` why nobody does.

    `is_reached` tells a broker that refuses from an address where no broker answers.
    """

    broker_id: int = -1
    session: int = 0
    incarnation: int = 0
    cluster_id: str = ""
    refusal: str = ""
    is_reached: bool = False


_READERS = (
    read_int,  # link_version stays first in every version: it says how the rest is read
    read_int,
    read_int,
    read_int,
    read_text,
    read_int,
    read_text,
    read_int,
    read_optional_text,
    read_bool,
)


def encode_hello(hello: LinkHello) -> bytes:
    """The hello alone, as it lies inside the request."""
    return pack_fields(_HELLO_TAG, _fields_of(hello))


def decode_hello(data: bytes) -> LinkHello:
    """The hello of a request; raises CorruptCommandError.

    Of another link version only the version and the broker id are read.
    """
    tag, fields = _unpack(data)
    if tag != _HELLO_TAG:
        raise CorruptCommandError(f"a link opens with a hello, not with tag {tag}")
    return _hello_from(fields)


def encode_answer(answer: LinkAnswer) -> bytes:
    """The answer alone, as it lies inside the response."""
    return pack_fields(_ANSWER_TAG, [*_fields_of(answer.hello), answer.refusal])


def decode_answer(data: bytes) -> LinkAnswer:
    """The answer to a hello; raises CorruptCommandError."""
    tag, fields = _unpack(data)
    if tag != _ANSWER_TAG or not fields:
        raise CorruptCommandError(f"a hello is answered by tag {_ANSWER_TAG}, not {tag}")
    return LinkAnswer(_hello_from(fields[:-1]), read_text(fields[-1]))


def hello_request(hello: LinkHello) -> bytes:
    """The whole opening request, size prefix included."""
    body = encode_hello(hello)
    head = _REQUEST_HEAD.pack(LINK_API_KEY, 0, 0, len(CLIENT_ID))
    frame = head + CLIENT_ID + _SIZE.pack(len(body)) + body
    return _SIZE.pack(len(frame)) + frame


def read_hello_body(body: bytes | memoryview) -> LinkHello:
    """The hello of a request, from `hello_bytes` on; raises CorruptCommandError."""
    content = bytes(body[: MAX_HELLO_BYTES + 5])
    if len(content) < _SIZE.size or _SIZE.unpack_from(content)[0] != len(content) - _SIZE.size:
        raise CorruptCommandError("a hello must fill its request")
    return decode_hello(content[_SIZE.size :])


def hello_response(answer: LinkAnswer) -> bytes:
    """The whole answer, size prefix included."""
    body = encode_answer(answer)
    return _ANSWER_HEAD.pack(len(body) + 8, 0, len(body)) + body


def split_response(data: bytearray) -> tuple[LinkAnswer, bytes] | None:
    """(answer, bytes behind it) once `data` holds it whole, else None.

    Raises CorruptCommandError for what no broker of ours would answer.
    """
    if len(data) < _ANSWER_HEAD.size:
        return None
    size, _, body_bytes = _ANSWER_HEAD.unpack_from(data)
    if body_bytes != size - 8 or not 0 < body_bytes <= MAX_HELLO_BYTES:
        raise CorruptCommandError(f"what answers there is {_who_answers(data)}")
    end = _ANSWER_HEAD.size + body_bytes
    if len(data) < end:
        return None
    return decode_answer(bytes(data[_ANSWER_HEAD.size : end])), bytes(data[end:])


def _who_answers(data: bytearray) -> str:
    is_http = data.startswith(b"HTTP/")
    return "an HTTP server" if is_http else f"no broker of headrace (it began {data[:8].hex(' ')})"


def _unpack(data: bytes) -> tuple[int, list[object]]:
    if len(data) > MAX_HELLO_BYTES:
        raise CorruptCommandError(f"a hello of {len(data)} bytes is above {MAX_HELLO_BYTES}")
    return unpack_fields(data)


def _fields_of(hello: LinkHello) -> list[object]:
    return [
        hello.link_version,
        hello.broker_id,
        hello.session,
        hello.incarnation,
        hello.cluster_id,
        hello.wal_id,
        hello.host,
        hello.port,
        hello.rack,
        hello.is_probe,
    ]


def _hello_from(fields: list[object]) -> LinkHello:
    if len(fields) < 2:
        raise CorruptCommandError("a hello names its version and its broker")
    link_version, broker_id = read_int(fields[0]), read_int(fields[1])
    if not 0 <= broker_id < 1 << 31:
        raise CorruptCommandError(f"{broker_id} is no broker id")
    if link_version != LINK_VERSION:
        return LinkHello(broker_id, 0, 0, link_version=link_version)
    values = read_fields(_READERS, fields, "a hello")
    _, broker_id, session, incarnation, cluster_id, wal_id, host, port, rack, is_probe = values
    return LinkHello(
        broker_id=broker_id,
        session=session,
        incarnation=incarnation,
        cluster_id=cluster_id,
        wal_id=wal_id,
        host=host,
        port=port,
        rack=rack,
        is_probe=is_probe,
    )
