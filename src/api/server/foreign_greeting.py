"""Recognises, from the first four bytes, other protocols that knock at a Kafka port."""

HTTP_METHODS = (b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"PRI ")
TLS_HANDSHAKE = 0x16


def explain_bad_length(first_four: bytes, max_bytes: int) -> str:
    """In words, why a frame that starts with these bytes cannot be a Kafka request."""
    if first_four in HTTP_METHODS:
        return "this is an HTTP request, and the port speaks the Kafka protocol"
    if first_four[0] == TLS_HANDSHAKE and first_four[1] == 3:
        return (
            "this is a TLS handshake on a PLAINTEXT listener; "
            "set security.protocol=PLAINTEXT in the client"
        )
    if first_four == b"SSH-":
        return "this is an SSH client"
    size_bytes = int.from_bytes(first_four, "big", signed=True)
    if size_bytes <= 0:
        return f"a request of {size_bytes} bytes is none"
    return (
        f"a request of {size_bytes} bytes is above socket.request.max.bytes={max_bytes}; "
        "raise that setting, or lower max.request.size in the client"
    )
