"""Signs of life while a disk is waited for, and at no other time."""

import threading

from headrace.raft.link_pulse import LinkPulse


def test_it_beats_while_something_waits_and_never_besides() -> None:
    is_waiting = False
    seen: list[bool] = []
    beaten = threading.Semaphore(0)

    def beat() -> None:
        seen.append(is_waiting)
        beaten.release()

    pulse = LinkPulse(beat, interval_s=0.001, patience_s=3600.0)
    pulse.start()
    try:
        for _ in range(50):
            is_waiting = True
            with pulse:
                assert beaten.acquire(timeout=60)
            is_waiting = False
    finally:
        pulse.close()
    assert all(seen)
    assert not [each for each in threading.enumerate() if each.name == "headrace-pulse"]


def test_what_waits_too_long_falls_silent_and_the_next_does_not() -> None:
    beats: list[None] = []
    pulse = LinkPulse(lambda: beats.append(None), interval_s=0.1, patience_s=3.0)
    for expected in (30, 60):
        with pulse:
            for _ in range(100):
                pulse._look()
        assert len(beats) == expected


def test_it_looks_no_more_once_nothing_waits() -> None:
    pulse = LinkPulse(lambda: None, interval_s=0.1, patience_s=3.0)
    with pulse:
        pulse._look()
    assert pulse._is_armed
    pulse._look()
    assert not pulse._is_armed
