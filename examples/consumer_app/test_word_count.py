"""The application's own suite: a real broker for each test, in milliseconds."""

from word_count import count_words

import headrace


def test_words_are_counted_and_the_counts_produced(headrace_broker: headrace.Broker) -> None:
    lines = headrace_broker.create_topic("lines")
    lines.append_many([b"to be or not to be", b"that is the question"])
    counts = count_words(headrace_broker.bootstrap, messages=2)
    assert counts["be"] == 2
    headrace_broker.assert_produced("counts", key="to", value="2")
    headrace_broker.assert_produced("counts", key="question", value="1")
    assert headrace_broker.committed("word-count", "lines") == 2


def test_what_was_counted_is_not_counted_again(headrace_broker: headrace.Broker) -> None:
    lines = headrace_broker.create_topic("lines")
    lines.append(b"once")
    count_words(headrace_broker.bootstrap, messages=1)
    lines.append(b"twice")
    assert count_words(headrace_broker.bootstrap, messages=1) == {"twice": 1}
