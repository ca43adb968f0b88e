"""Whose a TCP connection on this machine is: asked of the kernel by its two ends.

`/proc/net/tcp` tells it too, but lists every socket there is: behind a test that leaves thousands
in TIME_WAIT, a look takes so long that whoever has to look before each connection serves nobody.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

Address = tuple[str, int]

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NLMSG_ERROR = 4, 20, 1, 2
_ALL_STATES = 0xFFFFFFFF
_ANY_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBxI")  # inet_diag_req_v2 before its socket id
_PORTS = struct.Struct(">HH")
_SOCKET_ID_END = struct.Struct("=III")  # interface and the cookie in two halves
_INODE_AT = _HEADER.size + 4 + 48 + 16  # behind the socket id: expires, two queues, uid


def inode_of_connection(local: Address, remote: Address) -> int:
    """The inode of the IPv4 socket at `local` that is connected to `remote`; 0 where none is."""
    return _ask_kernel(local, remote) if _kernel_can_tell() else _look_up(local, remote)


@cache
def _kernel_can_tell() -> bool:
    """Whether this kernel has sock_diag: tried with a connection of our own."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as made,
    ):
        try:
            return _ask_kernel(made.getsockname(), made.getpeername()) != 0
        except OSError:
            return False


def _ask_kernel(local: Address, remote: Address) -> int:
    """By one exact look-up of netlink's sock_diag."""
    (local_host, local_port), (remote_host, remote_port) = local, remote
    socket_id = (
        _PORTS.pack(local_port, remote_port)
        + socket.inet_aton(local_host).ljust(16, b"\0")
        + socket.inet_aton(remote_host).ljust(16, b"\0")
        + _SOCKET_ID_END.pack(0, _ANY_COOKIE, _ANY_COOKIE)
    )
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, _ALL_STATES) + socket_id
    size = _HEADER.size + len(body)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as asked:
        asked.settimeout(10)
        asked.send(_HEADER.pack(size, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + body)
        answer = asked.recv(4096)
    if _HEADER.unpack_from(answer)[1] == NLMSG_ERROR:
        return 0  # closed since
    (inode,) = struct.unpack_from("=I", answer, _INODE_AT)
    return int(inode)


def _look_up(local: Address, remote: Address) -> int:
    """In `/proc/net/tcp`."""
    wanted = [_as_hex(local), _as_hex(remote)]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[1:3] == wanted:
            return int(columns[9])
    return 0


def _as_hex(address: Address) -> str:
    host, port = address
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"


def socket_inodes(pid: int) -> Iterator[int]:
    """The inodes of every socket that a process holds; none where it is gone."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            target = os.readlink(folder / name)
            if target.startswith("socket:["):
                yield int(target[8:-1])
