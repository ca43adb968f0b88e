"""`BrokerTestCase`: a real broker for suites of the standard library's unittest."""

import unittest
from collections.abc import Iterable, Mapping
from typing import ClassVar

from .broker import Broker


class BrokerTestCase(unittest.TestCase):
    """`self.broker` runs while the tests of the class do; each test begins without records.

    A subclass may name topics that are there at each test's begin, and Kafka's broker settings:

        class OrderTests(headrace.BrokerTestCase):
            broker_topics = {"orders": 3}

            def test_orders_are_sent(self):
                send_order(self.broker.bootstrap)
                self.broker.assert_produced("orders")
    """

    broker: ClassVar[Broker]
    broker_topics: ClassVar[Mapping[str, int] | Iterable[str]] = ()
    broker_config: ClassVar[Mapping[str, object]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        """Start the broker."""
        super().setUpClass()
        cls.broker = Broker(config=cls.broker_config)
        cls.broker.start()
        cls.addClassCleanup(cls.broker.stop)

    def setUp(self) -> None:
        """Make the topics anew."""
        super().setUp()
        self.broker.reset()
        topics = self.broker_topics
        counts = topics if isinstance(topics, Mapping) else dict.fromkeys(topics, 1)
        for name, partition_count in counts.items():
            self.broker.create_topic(name, partition_count)
