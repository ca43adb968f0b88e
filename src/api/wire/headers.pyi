from typing import Any

from typing_extensions import Buffer

class RequestHeader:
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    def __init__(
        self, api_key: int, api_version: int, correlation_id: int, client_id: str | None = None
    ) -> None: ...

def decode_request_header(frame: Buffer, position: int = 0) -> tuple[RequestHeader, int]: ...
def encode_response_header(api_key: int, api_version: int, correlation_id: int) -> bytes: ...
def decode_response_header(
    api_key: int, api_version: int, frame: Buffer, position: int = 0
) -> tuple[int, int]: ...
def encode_request_frame(
    api_key: int,
    api_version: int,
    correlation_id: int,
    client_id: str | None,
    body: dict[str, Any],
) -> bytes: ...
