"""How one setting is declared: its type, default and bounds; text to value and back.

The types are Kafka's: int (32 bits), long (64 bits), double, boolean, string, list (of words, by
commas).  A list's value is a tuple in the order written.
"""

from dataclasses import dataclass
from typing import Any, Literal

from .errors import InvalidConfigError

ConfigType = Literal["int", "long", "double", "boolean", "string", "list"]

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1

_BITS = {"int": 31, "long": 63}


@dataclass(frozen=True, slots=True)
class ConfigDef:
    """One setting.  `minimum` and `maximum` are inclusive; `choices` bounds a string or each word
    of a list; `broker_synonym` is the broker setting that gives a topic its default."""

    name: str
    type: ConfigType
    default: Any
    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    broker_synonym: str | None = None
    is_internal: bool = False

    @property
    def validator_text(self) -> str:
        """The bounds as Kafka writes them: `[0,...]`, `[0,...,1]`, `[a, b]`; empty without any."""
        if self.choices:
            return f"[{', '.join(self.choices)}]"
        if self.minimum is None and self.maximum is None:
            return ""
        lowest = "" if self.minimum is None else f"{self.minimum},"
        highest = "" if self.maximum is None else f",{self.maximum}"
        return f"[{lowest}...{highest}]"

    @property
    def field_name(self) -> str:
        """The setting's name as a Python field."""
        return self.name.replace(".", "_")

    def parse(self, text: str) -> Any:
        """The value that `text` spells; InvalidConfigError where it is none or out of bounds."""
        value = self._convert(text.strip())
        self._check(text, value)
        return value

    def format(self, value: Any) -> str:
        """The text that parses to `value`."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, frozenset):
            return ",".join(sorted(value))
        if isinstance(value, tuple):
            return ",".join(value)
        return str(value)

    def _convert(self, text: str) -> Any:
        if self.type in _BITS:
            return self._convert_integer(text)
        if self.type == "double":
            try:
                return float(text)
            except ValueError as error:
                raise InvalidConfigError(self.name, text, "it takes a number") from error
        if self.type == "boolean":
            lowered = text.lower()
            if lowered not in ("true", "false"):
                raise InvalidConfigError(self.name, text, "it takes true or false")
            return lowered == "true"
        if self.type == "list":
            return tuple(word for part in text.split(",") if (word := part.strip()))
        return text

    def _convert_integer(self, text: str) -> int:
        bits = _BITS[self.type]
        digits = text[1:] if text[:1] in ("-", "+") else text
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
            raise InvalidConfigError(self.name, text, "it takes a whole number")
        value = int(text)
        if not -(1 << bits) <= value < (1 << bits):
            raise InvalidConfigError(self.name, text, f"it takes a number of {bits + 1} bits")
        return value

    def _check(self, text: str, value: Any) -> None:
        if self.choices:
            for word in value if self.type == "list" else (value,):
                if word not in self.choices:
                    allowed = ", ".join(self.choices)
                    raise InvalidConfigError(self.name, text, f"it takes one of {allowed}")
        if self.type in ("int", "long", "double"):
            # Written so that a NaN, which compares false with everything, fails.
            if self.minimum is not None and not value >= self.minimum:
                raise InvalidConfigError(self.name, text, f"it must be at least {self.minimum}")
            if self.maximum is not None and not value <= self.maximum:
                raise InvalidConfigError(self.name, text, f"it must be at most {self.maximum}")
