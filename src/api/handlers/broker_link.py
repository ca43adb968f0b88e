"""BrokerLink (private API key 31000): a peer opens the link that carries Raft between two brokers.

Behaviour: the hello is read here; the socket then leaves the event loop for the Raft thread, which
sends the answer, a refusal included.  See `raft/link_hello.py` for the bytes.

Versions: 0.  Never advertised: no client may ask for it.

Not done: authentication of its own.  A link stands under its listener's security, as replication
does.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING

from ...raft.errors import CorruptCommandError
from ...raft.link_hello import LINK_API_KEY, read_hello_body
from .context import CloseConnectionError, SocketHandOver

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["LINK_API_KEY", "accept_broker_link"]


def accept_broker_link(broker: "Broker", body: memoryview) -> SocketHandOver:
    """What is to become of a connection that opened with this request body."""
    try:
        hello = read_hello_body(body)
    except CorruptCommandError as error:
        raise CloseConnectionError(f"BrokerLink is malformed: {error}") from error
    runtime = broker.take_part()
    reason = f"a link of broker {hello.broker_id}"
    hand_over = SocketHandOver(reason, partial(runtime.adopt_link, hello=hello))
    hand_over.level = logging.DEBUG
    return hand_over
