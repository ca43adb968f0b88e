"""Links that are torn, seen before anybody reads from them; and closed first by a dying process."""

import fcntl
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from headrace.raft import link_sockets
from headrace.raft.link_sockets import LinkSockets, closed_before_others

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Two TCP connections: this broker's side, and the peer's."""
    made = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(2):
            own = socket.create_connection(listener.getsockname())
            made.append((own, listener.accept()[0]))
    yield made
    for pair in made:
        for each in pair:
            each.close()


def test_a_peer_that_closed_is_torn_though_nobody_has_read_to_the_end(pairs: list[Pair]) -> None:
    sockets = LinkSockets()
    assert sockets.find_torn() == frozenset()
    for broker_id, (own, peer) in enumerate(pairs, 1):
        sockets.watch(broker_id, own.fileno())
        peer.sendall(b"a frame that waits to be read")
    assert sockets.find_torn() == frozenset()
    pairs[1][1].close()
    assert sockets.find_torn() == {2}
    pairs[0][1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pairs[0][1].close()  # with a reset
    assert sockets.find_torn() == {1, 2}


def test_a_link_that_is_given_up_is_torn_until_its_broker_counts_as_gone(pairs: list[Pair]) -> None:
    sockets = LinkSockets()
    (own, _), (reused, peer) = pairs
    sockets.watch(1, own.fileno())
    sockets.note_torn(1, own.fileno())
    fcntl.fcntl(own.fileno(), fcntl.F_GETFD)  # open, and looked at no more
    descriptor = own.detach()
    socket.socket(fileno=descriptor).close()
    assert fcntl.fcntl(reused.fileno(), fcntl.F_DUPFD_CLOEXEC, descriptor) == descriptor
    peer.shutdown(socket.SHUT_RDWR)
    assert sockets.find_torn() == {1}
    sockets.forget(1)
    assert sockets.find_torn() == frozenset()
    socket.socket(fileno=descriptor).close()


def test_a_broker_that_gives_up_its_links_takes_nobody_for_torn(pairs: list[Pair]) -> None:
    sockets = LinkSockets()
    (own, peer), (torn, _) = pairs
    sockets.watch(1, own.fileno())
    sockets.watch(2, torn.fileno())
    sockets.note_torn(2, torn.fileno())
    peer.close()
    sockets.close()
    assert sockets.find_torn() == frozenset()


def test_a_newer_link_of_the_same_broker_is_whole(pairs: list[Pair]) -> None:
    sockets = LinkSockets()
    (older, peer), (newer, _) = pairs
    sockets.watch(1, older.fileno())
    peer.close()
    sockets.note_torn(1, older.fileno())
    sockets.watch(1, newer.fileno())
    assert sockets.find_torn() == frozenset()


def test_the_connection_is_the_same_under_a_high_descriptor(pairs: list[Pair]) -> None:
    own, peer = pairs[0]
    own.setblocking(False)
    high = closed_before_others(own)
    assert own.fileno() == -1
    assert high.fileno() >= 512
    assert closed_before_others(high) is high
    with pytest.raises(BlockingIOError):
        high.recv(1)
    peer.sendall(b"x")
    high.settimeout(60)
    assert high.recv(1) == b"x"
    high.close()
    assert peer.recv(1) == b""  # no other descriptor keeps it open


def test_where_no_high_descriptor_is_left_the_socket_stays_as_it_is(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_sockets, "FIRST_LINK_DESCRIPTOR", 1 << 30)
    monkeypatch.setattr("resource.getrlimit", lambda _: (link_sockets.resource.RLIM_INFINITY,) * 2)
    own, peer = pairs[0]
    assert closed_before_others(own) is own
    own.sendall(b"x")
    assert peer.recv(1) == b"x"


CHILD = """
import socket, sys
from headrace.raft.link_sockets import closed_before_others
connect = lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])))
link = closed_before_others(connect())
between = [socket.socket() for _ in range(200)]
client = connect()
assert client.fileno() < link.fileno()
link.sendall(b"l")
client.sendall(b"c")
sys.stdin.read()
"""


def test_the_links_of_a_killed_process_break_before_its_clients_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(port)], stdin=subprocess.PIPE)
        try:
            accepted = [listener.accept()[0] for _ in range(2)]
            by_name = {each.recv(1): each for each in accepted}
        finally:
            child.kill()
        link, client = by_name[b"l"], by_name[b"c"]
        assert client.recv(1) == b""  # as soon as it is seen to break
        look = select.poll()
        look.register(link.fileno(), select.POLLRDHUP)
        assert look.poll(0)
        child.communicate()
        for each in accepted:
            each.close()
