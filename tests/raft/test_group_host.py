"""What one turn of all groups lets out, and in which order."""

from pathlib import Path
from typing import Any

from headrace.raft.group_host import GroupHost
from headrace.raft.raft_wal import RaftWal
from headrace.raft.wal_format import WalRecord, WalRecordKind
from tests.support.manual_clock import ManualClock
from tests.support.raft_cluster import ListMachine


class NobodyElse:
    """A broker that is alone."""

    def is_up(self, _broker_id: int) -> bool:
        return False


def test_a_controller_hears_of_its_role_behind_the_states_it_decides_by(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    snapshot = WalRecord(WalRecordKind.SNAPSHOT, "group", 1, 0, ListMachine().to_bytes())
    left_undecided = WalRecord(WalRecordKind.ENTRY, "group", 2, 1, b"a decision")
    wal.append_turn([snapshot, left_undecided])
    wal.close()
    clock = ManualClock()
    posts: list[Any] = []
    host = GroupHost(
        broker_id=1,
        wal=RaftWal.open(tmp_path),
        clock=clock,
        network=NobodyElse(),
        post=posts.append,
    )
    told: list[str] = []
    host.open_group(
        "group",
        voters=(1,),
        machine=ListMachine(),
        first_state=None,
        campaign=True,
        on_applied=lambda applied: told.extend(f"applied {each[0]}" for each in applied),
        on_role=lambda is_controller: told.append(f"controller {is_controller}"),
    )
    for _ in range(10):
        clock.advance(100)
        host.tick_awake()
        host.tick_dirty(clock.monotonic_ms() / 1000, lambda: True)
        assert host.sync()
        host.let_out()
    for post in posts:
        post()
    assert told == ["applied 1", "applied 2", "controller True"]
