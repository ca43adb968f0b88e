"""Who dialled a connection: both ways of finding out agree, also where it is gone."""

import os
import socket

from tests.support import socket_owner


def test_the_kernel_and_its_list_name_the_same_socket() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as dialled,
    ):
        ends = (dialled.getsockname(), dialled.getpeername())
        inode = os.fstat(dialled.fileno()).st_ino
        assert socket_owner.inode_of_connection(*ends) == inode
        assert socket_owner._look_up(*ends) == inode
        assert inode in set(socket_owner.socket_inodes(os.getpid()))


def test_a_connection_that_is_not_there_belongs_to_nobody() -> None:
    ends = (("127.0.0.1", 1), ("127.0.0.1", 2))
    assert socket_owner.inode_of_connection(*ends) == 0
    assert socket_owner._look_up(*ends) == 0
    assert list(socket_owner.socket_inodes(-1)) == []
