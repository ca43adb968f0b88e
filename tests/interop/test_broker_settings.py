"""Type and bounds of every broker setting we read, beside those that Kafka itself documents."""

import re

from headrace.api.broker_config.settings import BROKER_CONFIG_DEFS
from headrace.api.broker_config.without_effect import NO_EFFECT_DEFS
from tests.support.kafka_java import run_kafka_class

# KafkaConfig's main prints its reference page.
_SETTING = re.compile(
    r'<h4><a id="(?P<name>[^"]+)"></a>.*?<tr><th>Type:</th><td>(?P<type>.*?)</td></tr>'
    r".*?<tr><th>Valid Values:</th><td>(?P<valid>.*?)</td></tr>",
    re.DOTALL,
)


def _documented() -> dict[str, tuple[str, str]]:
    page = run_kafka_class("kafka.server.KafkaConfig")
    found = {each["name"]: (each["type"], each["valid"]) for each in _SETTING.finditer(page)}
    assert len(found) > 300
    return found


def test_settings_are_checked_as_kafka_checks_them() -> None:
    documented = _documented()
    differing = [
        (name, definition.type, definition.validator_text, documented[name])
        for name, definition in NO_EFFECT_DEFS.items()
        if documented.get(name, (definition.type, definition.validator_text))
        != (definition.type, definition.validator_text)
    ]
    assert not differing
    # Ours are stricter here and there, where Kafka finds out only later.
    for name, definition in BROKER_CONFIG_DEFS.items():
        kafkas = documented.get(name, (definition.type, ""))[0]
        assert definition.type == kafkas.replace("short", "int"), name
