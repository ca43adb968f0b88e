"""How fast a replica catches up where others wait: not as fast as it can.

A MiB of what was missed takes a leader's loop and a follower's some tenths of a millisecond each,
and copies of it fill their sockets; a record that acks=all waits for stands behind that, on both.
At full speed (0.7-0.9 GB/s) the median of another topic's producer rose from 0.4 to 1.3 ms and its
p99 from 0.8 to 6 ms and more; with a pause behind each answer, at 0.4 GB/s, to 0.5 and 2-3 ms.  So
there are pauses while replicas that are in sync have news, and none while they have not.
"""

import os

PAUSE_MS = 2
MEMORY_ANSWERS = 32
"""News are forgotten after so many answers that caught up: 0.1 s with pauses."""


class CatchUpPace:
    """One for all fetch loops of a broker.  Loop thread only.

    `answers_left`: how many more answers are paused behind.  Set to MEMORY_ANSWERS where a replica
    that is in sync has stored records, which somebody may wait for; a call would cost too much.
    """

    __slots__ = ("answers_left",)

    def __init__(self) -> None:
        self.answers_left = 0

    def pause_ms(self) -> int:
        """How long to leave a replica out that has just stored a part of what it missed."""
        self.give_way()
        if not self.answers_left:
            return 0
        self.answers_left -= 1
        return PAUSE_MS

    def give_way(self) -> None:
        """Let other processes that wait for this core run first."""
        os.sched_yield()
