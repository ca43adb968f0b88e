"""What a connection remembers of refused batches: enough to keep order, and no more than that."""

import tracemalloc

from headrace.api.handlers.refused_batches import MAX_FOLLOWERS, MAX_REMEMBERED, RefusedBatches
from tests.support.stored_records import make_batch

REASON = (6, "broker 1 does not lead it")


def batch(sequence: int, producer_id: int = 7) -> memoryview:
    return memoryview(
        make_batch(b"v", producer_id=producer_id, producer_epoch=0, base_sequence=sequence)
    )


def test_what_follows_waits_and_a_batch_that_comes_again_ends_that() -> None:
    refused = RefusedBatches()
    refused.note_refused("clicks", 0, batch(5), REASON)
    for sequence in (6, 7, 9):
        assert refused.reason_to_wait("clicks", 0, batch(sequence)) == REASON
    assert refused.reason_to_wait("clicks", 1, batch(6)) is None
    assert refused.reason_to_wait("clicks", 0, batch(7)) is None  # its client gave up batch 5
    assert refused.reason_to_wait("clicks", 0, batch(10)) is None


def test_not_more_wait_than_a_client_has_under_way() -> None:
    refused = RefusedBatches()
    refused.note_refused("clicks", 0, batch(0), REASON)
    waiting = [refused.reason_to_wait("clicks", 0, batch(n + 1)) for n in range(MAX_FOLLOWERS + 1)]
    assert waiting == [REASON] * MAX_FOLLOWERS + [None]


def test_the_oldest_partitions_are_given_up_for_the_newest() -> None:
    """Partitions that moved to other brokers are produced to elsewhere, and never come again."""
    refused = RefusedBatches()
    for index in range(MAX_REMEMBERED + 1):
        refused.note_refused("clicks", index, batch(5), REASON)
    assert refused.reason_to_wait("clicks", 0, batch(6)) is None
    assert refused.reason_to_wait("clicks", 1, batch(6)) == REASON
    assert refused.reason_to_wait("clicks", MAX_REMEMBERED, batch(6)) == REASON


def test_names_that_no_topic_can_have_and_many_followers_take_no_memory() -> None:
    refused = RefusedBatches()
    longest = "t" * 249
    refused.note_refused("t" * 250, 0, batch(5), REASON)
    assert refused.reason_to_wait("t" * 250, 0, batch(6)) is None
    first, followers = batch(0), [batch(1000 * number) for number in range(1, MAX_FOLLOWERS + 1)]
    count = 500
    tracemalloc.start()
    try:
        for index in range(count):
            refused.note_refused(longest, index, first, REASON)
            for follower in followers:
                assert refused.reason_to_wait(longest, index, follower) == REASON
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < count * 1000
