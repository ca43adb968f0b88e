"""Kafka's ids as text, and as chance makes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.kafka_uuid import (
    ONE_UUID,
    ZERO_UUID,
    random_uuid,
    uuid_from_text,
    uuid_to_text,
)
from tests.support.manual_clock import ManualClock


def test_reserved_ids_have_kafkas_text() -> None:
    assert uuid_to_text(ZERO_UUID) == "AAAAAAAAAAAAAAAAAAAAAA"
    assert uuid_to_text(ONE_UUID) == "AAAAAAAAAAAAAAAAAAAAAQ"


@given(st.binary(min_size=16, max_size=16))
def test_text_gives_back_the_id(uuid: bytes) -> None:
    assert uuid_from_text(uuid_to_text(uuid)) == uuid


@pytest.mark.parametrize("text", ["", "short", "A" * 23, "A" * 21 + "!", "A" * 21 + "é"])
def test_junk_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="is no id"):
        uuid_from_text(text)


def test_random_ids_are_version_4_distinct_and_never_look_like_a_flag() -> None:
    clock = ManualClock()
    made = [random_uuid(clock) for _ in range(2000)]
    assert len(set(made)) == 2000
    assert not any(uuid_to_text(uuid).startswith("-") for uuid in made)
    assert {uuid[6] >> 4 for uuid in made} == {4}
    assert {uuid[8] >> 6 for uuid in made} == {2}
