"""Which topics a member of protocol type `consumer` subscribes to, read from its metadata.

SIZE  FIELD         ConsumerProtocolSubscription, big-endian; later versions only append
   2  version       int16, 0 or more
   4  topic_count   int32
 2+n  topic         int16 length and UTF-8 bytes, topic_count times
"""

from struct import Struct

_HEAD = Struct(">hi")
_LENGTH = Struct(">h")


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The subscribed topics, or None for bytes that are no consumer subscription.

    The bytes are the clients' own affair, so junk is no error: the group then counts as
    subscribed to everything, which only keeps its offsets longer.
    """
    if len(metadata) < _HEAD.size:
        return None
    version, topic_count = _HEAD.unpack_from(metadata)
    if version < 0 or topic_count < 0 or topic_count * _LENGTH.size > len(metadata):
        return None
    topics = set()
    position = _HEAD.size
    for _ in range(topic_count):
        if position + _LENGTH.size > len(metadata):
            return None
        (size_bytes,) = _LENGTH.unpack_from(metadata, position)
        position += _LENGTH.size
        if size_bytes < 0 or position + size_bytes > len(metadata):
            return None
        try:
            topics.add(metadata[position : position + size_bytes].decode())
        except UnicodeDecodeError:
            return None
        position += size_bytes
    return frozenset(topics)
