"""One blocking connection to a broker, for commands that ask a few questions and leave.

Not for records at speed: `headrace produce` and `consume` use a kept Kafka client.
"""

import select
import socket
import struct
from collections.abc import Callable
from typing import Any

from ...core.errors import HeadraceError, MalformedBytesError
from ..wire.api_keys import ApiKey
from ..wire.codec import decode_response
from ..wire.error_codes import ErrorCode
from ..wire.headers import decode_response_header, encode_request_frame
from ..wire.registry import schema_versions

MAX_RESPONSE_BYTES = 100 * 1024 * 1024
SILENCE_S = 2.5
"""After so long a person is told whom the command waits for."""


class BrokerUnreachableError(HeadraceError):
    """No broker answered at an address, or it hung up in the middle."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"no Kafka broker answers at {address}: {reason}. Start one with `headrace up`, "
            f"or name another with --bootstrap-server or HEADRACE_BOOTSTRAP"
        )
        self.address = address
        self.reason = reason


class UnsupportedByBrokerError(HeadraceError):
    """The broker has no version of an API that this client speaks."""

    def __init__(self, address: str, api_key: ApiKey) -> None:
        super().__init__(f"the broker at {address} does not offer {api_key.name}")
        self.api_key = api_key


class BrokerConnection:
    """Requests in, decoded answers out, one at a time, at the newest version both sides know."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout_s: float,
        client_id: str = "headrace-cli",
        on_silence: Callable[[str], None] | None = None,
    ) -> None:
        """`on_silence` is told the address where an answer takes longer than SILENCE_S."""
        self.address = f"{host}:{port}"
        self.client_id = client_id
        self._on_silence = on_silence
        self._correlation_id = 0
        self._versions: dict[int, tuple[int, int]] | None = None
        self._versions_asked: int | None = None
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as error:
            raise BrokerUnreachableError(self.address, error.strerror or str(error)) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For `select`: readable when an answer, or a part of one, has come."""
        return self._socket.fileno()

    def api_versions(self) -> dict[int, tuple[int, int]]:
        """API key -> (lowest, highest) version that the broker advertises."""
        if self._versions is None:
            asked = self._ask_versions()
            self._tell_silence()
            answer = self.receive_answer(ApiKey.API_VERSIONS, 0, asked)
            if answer["error_code"] != ErrorCode.NONE:
                reason = ErrorCode(answer["error_code"]).name
                raise BrokerUnreachableError(self.address, f"ApiVersions answered {reason}")
            self._versions = {
                row["api_key"]: (row["min_version"], row["max_version"])
                for row in answer["api_keys"]
            }
        return self._versions

    def answers_within(self, seconds: float) -> bool:
        """Whether it has told its versions by then; else the question is still open."""
        if self._versions is None:
            self._ask_versions()
            if not self.wait_readable(seconds):
                return False
            self.api_versions()
        return True

    def _ask_versions(self) -> int:
        if self._versions_asked is None:
            self._versions_asked = self.send_request(ApiKey.API_VERSIONS, 0, {})
        return self._versions_asked

    def version_of(self, api_key: ApiKey, max_version: int = 32767) -> int:
        """The newest version both sides know; raises UnsupportedByBrokerError if there is none."""
        lowest, highest = self.api_versions().get(api_key, (0, -1))
        our_lowest, our_highest = schema_versions(api_key)
        version = min(highest, our_highest, max_version)
        if version < max(lowest, our_lowest):
            raise UnsupportedByBrokerError(self.address, api_key)
        return version

    def request(
        self, api_key: ApiKey, body: dict[str, Any], *, max_version: int = 32767
    ) -> dict[str, Any]:
        """The decoded answer; raises UnsupportedByBrokerError where no version is shared."""
        return self._exchange(api_key, self.version_of(api_key, max_version), body)

    def _exchange(self, api_key: ApiKey, version: int, body: dict[str, Any]) -> dict[str, Any]:
        correlation_id = self.send_request(api_key, version, body)
        self._tell_silence()
        return self.receive_answer(api_key, version, correlation_id)

    def _tell_silence(self) -> None:
        if self._on_silence is not None and not self.wait_readable(SILENCE_S):
            self._on_silence(self.address)

    def send_request(self, api_key: ApiKey, version: int, body: dict[str, Any]) -> int:
        """Sends one request; its correlation id, for `receive_answer` in the same order."""
        self._correlation_id += 1
        frame = encode_request_frame(api_key, version, self._correlation_id, self.client_id, body)
        try:
            self._socket.sendall(frame)
        except OSError as error:
            raise BrokerUnreachableError(self.address, error.strerror or str(error)) from error
        return self._correlation_id

    def receive_answer(self, api_key: ApiKey, version: int, correlation_id: int) -> dict[str, Any]:
        """The answer to the oldest request that was not answered yet."""
        try:
            (length,) = struct.unpack(">i", self._receive(4))
            if not 4 <= length <= MAX_RESPONSE_BYTES:
                raise BrokerUnreachableError(self.address, f"an answer of {length} bytes")
            answer = self._receive(length)
        except OSError as error:
            raise BrokerUnreachableError(self.address, error.strerror or str(error)) from error
        try:
            answered_id, position = decode_response_header(api_key, version, answer)
            if answered_id != correlation_id:
                raise BrokerUnreachableError(self.address, "an answer to another request")
            return decode_response(api_key, version, answer, position)
        except MalformedBytesError as error:
            raise BrokerUnreachableError(self.address, f"not a Kafka answer ({error})") from error

    def wait_readable(self, timeout_s: float) -> bool:
        """Whether an answer, or a part of one, has come within `timeout_s`."""
        readable, _, _ = select.select([self._socket], [], [], max(0.0, timeout_s))
        return bool(readable)

    def _receive(self, count: int) -> bytes:
        pieces: list[bytes] = []
        while count:
            piece = self._socket.recv(min(count, 1 << 16))
            if not piece:
                raise BrokerUnreachableError(self.address, "it closed the connection")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)
