"""The bell: nobody sleeps through a ring, not even from another process."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headrace.core.append_bell import BELL_NAME, AppendBell, AppendBells, log_id


def test_a_ring_after_the_look_ends_the_wait_at_once(tmp_path: Path) -> None:
    bell = AppendBell(str(tmp_path / "bell"))
    seen = bell.ring_count
    bell.ring()
    assert bell.ring_count == seen + 1
    assert bell.wait(seen, 60)
    assert not bell.wait(bell.ring_count, 0.01)


def test_every_sleeper_is_woken(tmp_path: Path) -> None:
    bells = [AppendBell(str(tmp_path / "bell")) for _ in range(3)]
    woken = []
    threads = [
        threading.Thread(target=lambda bell=bell: woken.append(bell.wait(0, 15))) for bell in bells
    ]
    for thread in threads:
        thread.start()
    AppendBell(str(tmp_path / "bell")).ring()
    for thread in threads:
        thread.join(15)
    assert woken == [True] * 3


def test_another_process_is_woken(tmp_path: Path) -> None:
    bell = AppendBell(str(tmp_path / "bell"))
    program = (
        "import sys\n"
        "from headrace.core.append_bell import AppendBell\n"
        "bell = AppendBell(sys.argv[1])\n"
        "seen = bell.ring_count\n"
        "print('ready', flush=True)\n"
        "print(bell.wait(seen, 30))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "bell")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    bell.ring()
    assert process.communicate(timeout=60)[0] == "True\n"


def test_a_folder_has_one_bell_and_none_where_it_cannot_be_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bells = AppendBells()
    ring = bells.ring_of(tmp_path / "clicks-0")
    assert ring is not None
    ring()
    assert bells.ring_of(tmp_path / "clicks-1") == ring
    assert AppendBell(str(tmp_path / BELL_NAME)).ring_count == 1
    assert bells.ring_of(tmp_path / "missing" / "clicks-0") is None
    assert "not woken" in caplog.text


def test_an_append_that_may_be_taken_back_is_announced(tmp_path: Path) -> None:
    writer, reader = (AppendBell(str(tmp_path / BELL_NAME)) for _ in range(2))
    clicks, views = log_id("clicks-0"), log_id("views-0")
    assert reader.open_offset(clicks) is None
    writer.begin_append(clicks, 17)
    assert (reader.open_offset(clicks), reader.open_offset(views)) == (17, None)
    writer.end_append()
    assert (reader.open_offset(clicks), reader.taken_back) == (None, 0)
    writer.begin_append(views, 3)
    writer.end_append(is_taken_back=True)
    assert (reader.open_offset(views), reader.taken_back) == (None, 1)


def test_the_next_writer_settles_what_a_killed_one_announced(tmp_path: Path) -> None:
    killed = AppendBell(str(tmp_path / BELL_NAME))
    killed.begin_append(log_id("clicks-0"), 17)
    AppendBells().bell_of(tmp_path / "clicks-0")
    assert killed.open_offset(log_id("clicks-0")) is None
