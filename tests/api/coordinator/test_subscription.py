"""Reading which topics a consumer subscribes to."""

from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from headrace.api.coordinator.subscription import subscribed_topics


def subscription(topics: list[str], version: int = 0, tail: bytes = b"") -> bytes:
    data = pack(">hi", version, len(topics))
    for topic in topics:
        encoded = topic.encode()
        data += pack(">h", len(encoded)) + encoded
    return data + tail


@given(st.lists(st.text(max_size=20), max_size=10), st.binary(max_size=30))
def test_topics_are_read_whatever_later_versions_append(topics: list[str], tail: bytes) -> None:
    assert subscribed_topics(subscription(topics, 3, tail)) == frozenset(topics)


@given(st.binary(max_size=60))
def test_random_bytes_are_topics_or_nothing(data: bytes) -> None:
    found = subscribed_topics(data)
    assert found is None or all(len(topic) <= 60 for topic in found)


def test_a_cut_subscription_is_none() -> None:
    whole = subscription(["clicks", "orders"])
    assert all(subscribed_topics(whole[:size]) is None for size in range(len(whole)))


def test_a_count_beyond_the_bytes_is_none() -> None:
    assert subscribed_topics(pack(">hi", 0, 2**31 - 1)) is None
    assert subscribed_topics(pack(">hi", 0, -1)) is None
