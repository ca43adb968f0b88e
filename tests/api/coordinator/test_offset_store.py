"""Committed and pending offsets of one group."""

from headrace.api.coordinator.offset_store import CommittedOffset, GroupOffsets

DAY_MS = 86_400_000
KEY = ("clicks", 0)


def expired(offsets: GroupOffsets, now_ms: int, since_ms: int | None = None) -> list[object]:
    return list(
        offsets.expired_keys(
            now_ms=now_ms, retention_ms=DAY_MS, since_ms=since_ms, is_spared=lambda _: False
        )
    )


def committed(
    *, commit_timestamp_ms: int = -1, expire_timestamp_ms: int | None = None
) -> GroupOffsets:
    offsets = GroupOffsets()
    offsets.committed[KEY] = CommittedOffset(
        offset=1,
        commit_timestamp_ms=commit_timestamp_ms,
        expire_timestamp_ms=expire_timestamp_ms,
    )
    return offsets


def test_an_offset_is_invisible_until_it_is_stored() -> None:
    offsets = GroupOffsets()
    batch = {KEY: CommittedOffset(offset=3)}
    offsets.begin_commit(batch)
    assert not offsets.committed
    assert offsets
    offsets.finish_commit(batch, is_stored=True)
    assert offsets.committed[KEY].offset == 3


def test_a_failed_commit_leaves_the_one_before() -> None:
    offsets = committed()
    batch = {KEY: CommittedOffset(offset=9)}
    offsets.begin_commit(batch)
    offsets.finish_commit(batch, is_stored=False)
    assert offsets.committed[KEY].offset == 1


def test_a_deletion_overtakes_a_commit_that_was_appended_before_it() -> None:
    offsets = GroupOffsets()
    batch = {KEY: CommittedOffset(offset=3)}
    offsets.begin_commit(batch)
    assert offsets.forget(KEY)
    offsets.finish_commit(batch, is_stored=True)
    assert not offsets


def test_forgetting_nothing_says_so() -> None:
    assert not GroupOffsets().forget(KEY)


def test_offsets_expire_by_the_time_the_group_became_empty() -> None:
    offsets = committed(commit_timestamp_ms=0)
    assert expired(offsets, 2 * DAY_MS - 1, since_ms=DAY_MS) == []
    assert expired(offsets, 2 * DAY_MS, since_ms=DAY_MS) == [KEY]


def test_without_a_group_they_expire_by_their_commit() -> None:
    offsets = committed(commit_timestamp_ms=5)
    assert expired(offsets, DAY_MS + 4) == []
    assert expired(offsets, DAY_MS + 5) == [KEY]


def test_an_expire_time_of_their_own_overrules_the_retention() -> None:
    offsets = committed(commit_timestamp_ms=0, expire_timestamp_ms=100)
    assert expired(offsets, 99) == []
    assert expired(offsets, 100, since_ms=100) == [KEY]
    late = committed(commit_timestamp_ms=0, expire_timestamp_ms=9 * DAY_MS)
    assert expired(late, 8 * DAY_MS) == []


def test_a_pending_commit_keeps_an_old_offset() -> None:
    offsets = committed(commit_timestamp_ms=0)
    offsets.begin_commit({KEY: CommittedOffset(offset=2)})
    assert expired(offsets, 9 * DAY_MS) == []
