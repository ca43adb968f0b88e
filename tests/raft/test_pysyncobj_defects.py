"""Each defect of PySyncObj 0.3.17 that we close: shown on the library as shipped, absent in ours.

The numbers are those of the table in src/raft/README.md.  If a test of the library as shipped
fails, the library has changed, and what closes the defect may go.
"""

import os
import pickle
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from headrace.raft import _pysyncobj
from headrace.raft.errors import CorruptFrameError, UnknownOutcomeError
from headrace.raft.message_codec import GroupMessage, decode_frame
from headrace.raft.raft_wal import GroupImage, RaftWal
from headrace.raft.wal_format import WalRecord, WalRecordKind
from tests.support.plain_pysyncobj import CLOCK, PLAIN, Node, PlainNetwork
from tests.support.raft_cluster import GROUP_ID, RaftCluster

COMPACTING = {
    "logCompactionMinEntries": 5,
    "logCompactionMinTime": 10**6,
    "logCompactionBatchSize": 64,
}


def led_by_a(size: int, **settings: Any) -> PlainNetwork:
    network = PlainNetwork(size, **settings)
    network.nodes["A"].campaign()
    network.settle()
    network.run(3)
    assert network.nodes["A"]._isLeader()
    network.clear()
    return network


def led(size: int = 3) -> tuple[RaftCluster, int, list[int]]:
    """A cluster of ours, its leader and the others."""
    cluster = RaftCluster(size)
    leader = cluster.elect()
    return cluster, leader, [b for b in cluster.voters if b != leader]


# -- F1: an acknowledgement has no term


def test_f1_plain_counts_an_acknowledgement_of_an_old_term() -> None:
    network = led_by_a(5)
    a, c = network.nodes["A"], network.nodes["C"]
    for number in range(4):
        a.put(f"lost {number}")
    a.tick()
    a.tick()
    network.deliver("A", "B")
    late = list(network.queues["B", "A"])
    network.clear()
    c.campaign()  # D and E have nothing of it either
    network.settle("CDE")
    network.run(4)
    network.clear()
    a.campaign()
    for other in "CD":
        network.deliver("A", other)
        network.deliver(other, "A")
    assert a._isLeader()
    for _ in range(2):
        a.put("new")
        a.tick()
    for _ in range(3):
        a.tick()
        network.deliver("A", "C")
        network.deliver("C", "A")
    for message in late:
        a.transport._onMessageReceived(Node("B"), message)
    a.tick()
    committed = a.log[a.raftCommitIndex - a.log[0][0]]
    holders = [name for name, node in network.nodes.items() if committed in node.log]
    assert committed[1] == a.raftCurrentTerm
    assert holders == ["A", "C"]


def test_f1_ours_ignores_an_acknowledgement_of_an_old_term() -> None:
    cluster, leader, (other, _) = led()
    group = cluster.group(leader)
    cluster.propose(leader, b"x")
    before = dict(group.match_index)
    late = (GROUP_ID, GroupMessage.APPEND_REPLY, group.term - 1, group.last_index + 1, False, True)
    group.receive(other, late)
    assert group.match_index == before
    group.receive(other, (*late[:2], group.term, *late[3:]))
    assert group.match_index != before


# -- F2: a snapshot on its way moves the commit index


def test_f2_plain_applies_a_tail_that_nobody_agreed_on() -> None:
    network = led_by_a(3, **COMPACTING)
    a, b = network.nodes["A"], network.nodes["B"]
    for number in range(3):
        a.put(f"ghost {number}")
    a.tick()
    network.clear()
    b.campaign()
    network.settle("BC")
    for number in range(12):
        b.put(f"real {number}")
    network.run(12, "BC")
    b.forceLogCompaction()
    network.run(6, "BC")
    network.clear()
    for _ in range(40):
        b.tick()
        if network.queues["B", "A"]:
            network.deliver("B", "A", 1)
        a._onTick(0)
        network.deliver("A", "B")
        if a.payloads:
            break
    assert a.payloads[0].startswith("ghost")
    assert not b.payloads[0].startswith("ghost")


def test_f2_ours_never_applies_what_a_snapshot_replaces() -> None:
    cluster, leader, others = led()
    cluster.isolate(leader)
    for _ in range(3):
        cluster.propose(leader, b"ghost", timeout_s=60.0)
    cluster.run(3.0)
    (new,) = [b for b in others if cluster.group(b).is_controller]
    for _ in range(300):
        cluster.propose(new, b"real")
        cluster.settle()
    cluster.heal()
    cluster.run(1.0)
    assert cluster.payloads(leader) == [b"real"] * 300
    assert b"ghost" not in {payload for _, payload, _ in cluster.members[leader].applied}


# -- F3: matching entries are truncated again


def repeated_append(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return next(m for m in messages if m["type"] == "append_entries" and m["entries"])


def test_f3_plain_truncates_what_it_has_acknowledged() -> None:
    network = led_by_a(3, appendEntriesBatchSizeBytes=64)
    a, b = network.nodes["A"], network.nodes["B"]
    for number in range(6):
        a.put("x" * 20 + str(number))
    for _ in range(3):
        a.tick()
    again = repeated_append(list(network.queues["A", "B"]))
    network.settle()
    network.run(2)
    acknowledged = a.matched["B"]
    assert acknowledged == b.log[-1][0]
    b.transport._onMessageReceived(Node("A"), again)
    assert b.log[-1][0] < acknowledged <= a.raftCommitIndex


def test_f3_ours_keeps_what_it_has_acknowledged() -> None:
    cluster, leader, others = led()
    appended: list[tuple[Any, ...]] = []
    for number in range(6):
        cluster.propose(leader, b"%d" % number)
        appended += [m for m in cluster.queues[leader, others[0]] if m[6:] != ((),)]
        cluster.settle()
    follower = cluster.group(others[0])
    last = follower.last_index
    for message in appended:
        follower.receive(leader, message)
        cluster.members[others[0]].finish_turn()
        assert follower.last_index == last


# -- F4: a journal without a dump file loses the state


def test_f4_plain_comes_back_empty_after_compaction(tmp_path: Path) -> None:
    network = PlainNetwork(1, journalFile=str(tmp_path / "journal"), logCompactionMinEntries=5)
    node = network.nodes["A"]
    node.campaign()
    for number in range(20):
        node.put(str(number))
        network.run(2)
    assert len(node.payloads) == 20
    node._doDestroy()
    again = PlainNetwork(1, journalFile=str(tmp_path / "journal"), logCompactionMinEntries=5)
    again.nodes["A"].campaign()
    again.run(5)
    assert again.nodes["A"].payloads == []


def test_f4_ours_comes_back_whole_after_compaction() -> None:
    cluster, leader, _ = led()
    for number in range(300):
        cluster.propose(leader, b"%d" % number)
        cluster.settle()
    assert cluster.group(leader).journal.first_index > 1
    cluster.members[leader].checkpoint()
    for broker_id in cluster.voters:
        cluster.crash(broker_id)
    for broker_id in cluster.voters:
        cluster.restart(broker_id)
    cluster.elect()
    cluster.run(1.0)
    assert [len(cluster.payloads(b)) for b in cluster.voters] == [300] * 3


# -- F5: votes are counted, not voters


def test_f5_plain_leads_by_one_vote_that_came_twice() -> None:
    network = PlainNetwork(5)
    a = network.nodes["A"]
    a.campaign()
    network.deliver("A", "B")
    vote = network.queues["B", "A"][0]
    for _ in range(2):
        a.transport._onMessageReceived(Node("B"), vote)
    assert a._isLeader()


def test_f5_ours_counts_voters() -> None:
    cluster = RaftCluster(5)
    group = cluster.group(1)
    group._campaign(cluster.now_s)
    for _ in range(3):
        group.receive(2, (GROUP_ID, GroupMessage.VOTE_REPLY, group.term))
    assert not group.is_leader
    group.receive(3, (GROUP_ID, GroupMessage.VOTE_REPLY, group.term))
    assert group.is_leader


# -- F6: a commit index that outlives its entries


def test_f6_plain_applies_what_its_leader_has_not_committed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    PlainNetwork(1, journalFile=str(path)).nodes["A"]._doDestroy()
    meta = {"raftCommitIndex": 6, "currentTerm": 1, "votedForNodeId": None}
    path.with_suffix(".meta").write_bytes(pickle.dumps(meta))
    network = PlainNetwork(3, journalFile=None)
    a = _with_journal(network, path)
    command = b"\0" + pickle.dumps((a._methodToID["put_v0"], ("not committed",)))
    message = {
        "type": "append_entries",
        "term": 2,
        "commit_index": 1,
        "entries": [(command, 2, 2)],
        "prevLogIdx": 1,
        "prevLogTerm": 0,
    }
    a.transport._onMessageReceived(Node("B"), message)
    a.tick()
    assert a.payloads == ["not committed"]


def _with_journal(network: PlainNetwork, path: Path) -> Any:
    node_class = type(network.nodes["A"])
    return node_class(network, "A", "ABC", {"journalFile": str(path)})


def test_f6_ours_starts_at_the_snapshot_until_a_leader_says_more() -> None:
    cluster, leader, others = led()
    for _ in range(5):
        cluster.propose(leader, b"x")
        cluster.settle()
    cluster.crash(others[0])
    cluster.members[others[0]].start()
    assert cluster.group(others[0]).last_index == 7
    assert cluster.group(others[0]).commit_index == 1
    assert cluster.payloads(others[0]) == []


# -- F7: an exception in a replicated method


def test_f7_plain_raises_in_every_tick_and_stands_still() -> None:
    network = PlainNetwork(1)
    node = network.nodes["A"]
    node.campaign()
    node.payloads = None
    node.put("x")
    node.tick()
    for _ in range(3):
        with pytest.raises(AttributeError):
            node.tick()
    assert node.raftLastApplied < node.raftCommitIndex


def test_f7_ours_goes_on_behind_a_machine_that_raised() -> None:
    cluster, leader, _ = led()
    first = cluster.propose(leader, b"raise")
    second = cluster.propose(leader, b"x")
    cluster.settle()
    assert first == [(3, None)]
    assert second == [(4, 1)]
    assert [cluster.payloads(b) for b in cluster.voters] == [[b"x"]] * 3


# -- F8: whoever was away deposes a healthy leader


def test_f8_plain_deposes_a_leader_whom_one_voter_does_not_hear() -> None:
    network = led_by_a(3)
    a, c = network.nodes["A"], network.nodes["C"]
    for _ in range(4):
        c.campaign()
        network.clear()
    c.campaign()
    network.settle()
    assert not a._isLeader()


def test_f8_ours_keeps_a_leader_whom_one_voter_does_not_hear() -> None:
    cluster, leader, others = led()
    term = cluster.group(leader).term
    cluster.unlink(leader, others[0])
    cluster.run(20.0)
    cluster.link(leader, others[0])
    cluster.run(2.0)
    assert cluster.leaders() == [leader]
    assert {cluster.group(b).term for b in cluster.voters} == {term}


# -- F9: a callback that never comes


def test_f9_plain_never_answers_what_a_leader_took_with_it() -> None:
    network = led_by_a(3, leaderFallbackTimeout=1.0)
    a = network.nodes["A"]
    answers: list[Any] = []
    a.put("x", callback=lambda *answer: answers.append(answer))
    for _ in range(30):
        a.tick()
        network.clear()
    assert not a._isLeader()
    assert answers == []


def test_f9_ours_answers_by_the_deadline() -> None:
    cluster, leader, _ = led()
    cluster.isolate(leader)
    answers = cluster.propose(leader, b"x", timeout_s=4.0)
    cluster.run(4.1)
    assert not cluster.group(leader).is_leader
    assert [type(answer) for answer in answers] == [UnknownOutcomeError]


# -- F10: a busy loop while a snapshot is being written


def test_f10_plain_sends_empty_messages_while_a_snapshot_is_written() -> None:
    network = led_by_a(3, **COMPACTING)
    a = network.nodes["A"]
    for number in range(20):
        a.put(str(number))
    network.run(6)
    a._SyncObj__raftNextIndex[Node("B")] = 1
    a._SyncObj__serializer._Serializer__pid = -1
    network.clear()

    def ticking() -> float:
        CLOCK.now_s += 0.0001
        return float(CLOCK.now_s)

    frozen, PLAIN["pysyncobj.syncobj"].monotonicTime = (
        PLAIN["pysyncobj.syncobj"].monotonicTime,
        ticking,
    )
    try:
        a._SyncObj__sendAppendEntries()
    finally:
        PLAIN["pysyncobj.syncobj"].monotonicTime = frozen
    assert len(network.queues["A", "B"]) > 500


def test_f10_ours_sends_a_snapshot_as_one_message() -> None:
    cluster, leader, others = led()
    cluster.isolate(others[0])
    for _ in range(300):
        cluster.propose(leader, b"x")
        cluster.settle()
    cluster.link(leader, others[0])
    kinds = [message[1] for message in cluster.queues[leader, others[0]]]
    assert kinds.count(GroupMessage.SNAPSHOT) == 1
    assert len(kinds) <= 3


# -- F11: whatever arrives is unpickled


class Intruder:
    """Pickles as a call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("__import__('os').environ.__setitem__('HEADRACE_CANARY', 'ran')",))


def test_f11_plain_runs_what_a_stranger_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CANARY", "")
    body = zlib.compress(pickle.dumps(Intruder()))
    connection_class = PLAIN["pysyncobj.tcp_connection"].TcpConnection
    connection = connection_class(poller=None)
    connection._TcpConnection__readBuffer = struct.pack("i", len(body)) + body
    connection._TcpConnection__processParseMessage()
    assert os.environ["HEADRACE_CANARY"] == "ran"


def test_f11_ours_never_unpickles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CANARY", "")
    with pytest.raises(CorruptFrameError):
        decode_frame(pickle.dumps(Intruder()))
    roads = [name for name, module in _pysyncobj.MODULES.items() if hasattr(module, "pickle")]
    assert {"pysyncobj.syncobj", "pysyncobj.tcp_connection", "pysyncobj.serializer"} <= set(roads)
    for name in roads:
        with pytest.raises(_pysyncobj.PickleRefusedError):
            _pysyncobj.MODULES[name].pickle.loads(pickle.dumps(Intruder()))
    with pytest.raises(_pysyncobj.PickleRefusedError):
        _pysyncobj.MODULES["pysyncobj.syncobj"].pickle.dumps(1)
    assert os.environ["HEADRACE_CANARY"] == ""


# -- F12: a journal that is emptied before it is shortened


class _Killed(Exception):
    """Stands for a kill between two writes."""


def test_f12_plain_loses_entries_when_it_is_killed_while_it_compacts(tmp_path: Path) -> None:
    journal_class = PLAIN["pysyncobj.journal"].FileJournal
    journal = journal_class(str(tmp_path / "journal"))
    for index in range(1, 11):
        journal.add(b"x", index, 1)
    add, left = journal.add, [2]

    def add_until_killed(*entry: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise _Killed
        add(*entry)

    journal.add = add_until_killed
    with pytest.raises(_Killed):
        journal.deleteEntriesTo(3)
    assert len(journal_class(str(tmp_path / "journal"))) == 2


def test_f12_ours_keeps_a_group_whole_wherever_a_snapshot_is_torn(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_turn(
        [WalRecord(WalRecordKind.SNAPSHOT, "g", 1, 0, b"old")]
        + [WalRecord(WalRecordKind.ENTRY, "g", index, 1, b"x") for index in range(2, 11)]
    )
    start = wal.size_bytes
    wal.append_turn(
        [
            WalRecord(WalRecordKind.HARD_STATE, "g", -1, 2, b""),
            WalRecord(WalRecordKind.SNAPSHOT, "g", 20, 2, b"new"),
            WalRecord(WalRecordKind.ENTRY, "g", 21, 2, b"y"),
        ]
    )
    end = wal.size_bytes
    wal.close()
    content = wal.path.read_bytes()
    for size in range(start, end + 1):
        wal.path.write_bytes(content[:size])
        again = RaftWal.open(tmp_path)
        image = again.replay()["g"]
        again.close()
        whole = (image.snapshot, image.last_index, image.term)
        assert whole == ((b"new", 21, 2) if size == end else (b"old", 10, 0)), size


# -- F13: the import changes the process


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_f13_plain_replaces_inet_ntop() -> None:
    code = (
        "import socket; kept = socket.inet_ntop; import pysyncobj; print(kept is socket.inet_ntop)"
    )
    assert run_python(code) == "False"


def test_f13_ours_leaves_socket_and_the_hosts_own_library_alone() -> None:
    code = (
        "import socket, sys; kept = socket.inet_ntop\n"
        "import headrace.raft.raft_group\n"
        "print(kept is socket.inet_ntop, 'pysyncobj' in sys.modules)\n"
        "import pysyncobj.pickle\n"
        "print(pysyncobj.pickle.loads(pysyncobj.pickle.dumps(1)))"
    )
    assert run_python(code) == "True False\n1"
    assert socket.inet_ntop(socket.AF_INET, b"\x7f\0\0\1") == "127.0.0.1"


def test_what_is_alone_does_not_import_the_library() -> None:
    code = (
        "import sys, headrace.raft, headrace.api.broker\n"
        "print([name for name in sys.modules if 'pysyncobj' in name])"
    )
    assert run_python(code) == "[]"


# -- the contract with the library


def test_the_library_has_every_private_name_we_touch() -> None:
    assert _pysyncobj.missing_names(PLAIN["pysyncobj.syncobj"].SyncObj) == []


def test_a_library_without_one_of_them_is_seen() -> None:
    class Other:
        def __init__(self) -> None:
            self.nothing = 0

    missing = _pysyncobj.missing_names(Other)
    assert set(missing) == {
        *_pysyncobj.METHODS,
        *_pysyncobj.FIELDS,
        *_pysyncobj.CONSTANTS,
        *_pysyncobj.SHARED,
    }


def test_another_version_is_refused_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_pysyncobj, "PINNED_VERSION", "0.3.18")
    with pytest.raises(ImportError, match=r"found 0\.3\.17: run `pip install pysyncobj==0\.3\.18`"):
        _pysyncobj._load_private_copy()


def test_another_version_that_cannot_be_loaded_is_refused_in_the_same_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_pysyncobj, "PINNED_VERSION", "0.3.18")
    monkeypatch.setitem(_pysyncobj._UNUSED, "pysyncobj.journal", {})  # a name it imports is gone
    with pytest.raises(ImportError, match=r"run `pip install pysyncobj==0\.3\.18`"):
        _pysyncobj._load_private_copy()


def test_a_copy_that_cannot_be_loaded_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: module for name, module in sys.modules.items() if "pysyncobj" in name}
    monkeypatch.setitem(_pysyncobj._UNUSED, "pysyncobj.journal", {})
    with pytest.raises(ImportError, match="createJournal"):
        _pysyncobj._load_private_copy()
    assert {name: module for name, module in sys.modules.items() if "pysyncobj" in name} == before


def test_the_copy_runs_nothing_of_the_library_that_is_not_used() -> None:
    code = (
        "import sys\n"
        "import headrace.raft.raft_group\n"
        "print(sorted({'pickle', 'ctypes', 'mmap', 'importlib.metadata'} & set(sys.modules)))"
    )
    assert run_python(code) == "[]"
    assert GroupImage().term == 0
