"""Records that a round trip must not change: every kind of null, emptiness, header and time."""

from dataclasses import dataclass

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
FIRST_TIMESTAMP_MS = 1_700_000_000_000


@dataclass(frozen=True)
class SampleRecord:
    """One record as a client gives and gets it."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = FIRST_TIMESTAMP_MS


def sample_records() -> list[SampleRecord]:
    """All kinds, each with a timestamp of its own, not in order of time."""
    kinds: list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]] = [
        (b"key", b"value", ()),
        (None, b"no key", ()),
        (b"", b"empty key", ()),
        (b"tombstone", None, ()),
        (b"empty value", b"", ()),
        (None, None, ()),
        (b"one header", b"v", (("trace", b"abc"),)),
        (b"twice the same header", b"v", (("a", b"1"), ("b", b"2"), ("a", b"3"))),
        (b"null header", b"v", (("nothing", None), ("empty", b""))),
        (b"unicode header", b"v", (("smörgås", "☃".encode()),)),
        (bytes(range(256)), bytes(range(255, -1, -1)), ()),
        (b"long", b"0123456789" * 5000, ()),
    ]
    return [
        SampleRecord(key, value, headers, FIRST_TIMESTAMP_MS + (7919 * number) % 1000)
        for number, (key, value, headers) in enumerate(kinds)
    ]
