"""Topic names as Kafka allows them."""

import pytest

from headrace.raft.errors import InvalidTopicError
from headrace.raft.topic_names import collision_key, is_internal_topic, validate_topic_name


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 249, "__consumer_offsets", "...", "-"])
def test_legal_names_are_accepted(name: str) -> None:
    validate_topic_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ä", "x" * 250, "a\n", "a\0"])
def test_illegal_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidTopicError):
        validate_topic_name(name)


def test_a_dot_and_an_underscore_collide() -> None:
    assert collision_key("a.b_c") == collision_key("a_b.c")
    assert collision_key("a.b") != collision_key("a-b")


def test_only_the_brokers_own_topics_are_internal() -> None:
    assert is_internal_topic("__consumer_offsets")
    assert not is_internal_topic("__mine")
