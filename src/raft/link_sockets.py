"""The sockets of the links that count: which of them are torn, before the Raft thread has seen it.

Who loses a leader asks another broker for the next one in the same millisecond in which that
broker's own link to it breaks.  Whether it has broken is asked of the kernel here, by the loop
thread, while the Raft thread may still be about to read the end of it.

    watch          the link counts from now on                      Raft thread
    note_torn      its descriptor is about to be closed, and reused Raft thread
    forget         its broker is among the runtime's peers no more  Raft thread
    close          all links are about to be closed                 no Raft thread is left
    find_torn      who is torn: for the kernel, or by `note_torn`   any thread
"""

import fcntl
import resource
import select
import socket
import threading

FIRST_LINK_DESCRIPTOR = 8_192
"""Above most that a broker has open.  The kernel's table of a process grows with its highest one,
to 128 KiB here."""


class LinkSockets:
    """See the module.  No descriptor is looked at once `note_torn` or `close` has returned."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._brokers: dict[int, int] = {}  # descriptor -> broker id
        self._torn: set[int] = set()

    def watch(self, broker_id: int, descriptor: int) -> None:
        with self._lock:
            self._torn.discard(broker_id)
            self._brokers[descriptor] = broker_id
            self._poll.register(descriptor, select.POLLRDHUP)  # POLLHUP and POLLERR come unasked

    def note_torn(self, broker_id: int, descriptor: int) -> None:
        with self._lock:
            self._torn.add(broker_id)
            del self._brokers[descriptor]
            self._poll.unregister(descriptor)

    def forget(self, broker_id: int) -> None:
        with self._lock:
            self._torn.discard(broker_id)

    def close(self) -> None:
        """This broker gives up all links: that tells nothing about the others."""
        with self._lock:
            self._torn.clear()
            self._brokers.clear()
            self._poll = select.poll()

    def find_torn(self) -> frozenset[int]:
        """One system call for all of them, which waits for nothing; none where there are none."""
        with self._lock:
            if not self._brokers:
                return frozenset(self._torn)
            ready = self._poll.poll(0)
            return frozenset((*self._torn, *(self._brokers[fd] for fd, _ in ready)))


def closed_before_others(sock: socket.socket) -> socket.socket:
    """The same connection under a high descriptor, so that it breaks first where this process dies.

    The kernel closes what a killed process had open one by one, since Linux 4.3 from the highest
    descriptor down, which may take it some milliseconds.  A client must not see its connection
    break, and ask another broker for the next leader, before that broker could see the same.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = FIRST_LINK_DESCRIPTOR if most == resource.RLIM_INFINITY else most - most // 4
    first = min(FIRST_LINK_DESCRIPTOR, first)
    if sock.fileno() >= first:
        return sock
    try:
        descriptor = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, first)
    except OSError:  # none is left up there: it is a link all the same
        return sock
    is_blocking = sock.getblocking()
    sock.close()
    high = socket.socket(fileno=descriptor)
    high.setblocking(is_blocking)
    return high
