"""Our `dataclass` beside the standard one: the same answers, nothing compiled before its use."""

import builtins
import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from headrace.core.dataclass import dataclass


def _define(decorator: Any) -> dict[str, Any]:
    """The same classes, by the decorator given."""

    @decorator(frozen=True, slots=True)
    class Frozen:
        """A value."""

        offset: int
        name: str = "x"
        sets: Mapping[str, int] = dataclasses.field(default_factory=dict, compare=False)
        secret: bytes = dataclasses.field(default=b"", repr=False)

    @decorator(slots=True)
    class Changing:
        """Not a value."""

        items: list[Any] = dataclasses.field(default_factory=list)

    @decorator(frozen=True, slots=True, kw_only=True)
    class Named:
        """By keyword only."""

        low: int
        high: int = 7

    @decorator(slots=True, eq=False)
    class Itself:
        """Equal to itself only."""

        value: int

    @decorator
    class Failure(Exception):
        """An error with facts."""

        offset: int

        def __str__(self) -> str:
            return f"at {self.offset}"

    @decorator(frozen=True)
    class Empty:
        """Nothing in it, and words of its own."""

        def __repr__(self) -> str:
            return "empty"

    found = (Frozen, Changing, Named, Itself, Failure, Empty)
    return {cls.__name__: cls for cls in found}


OURS, STANDARD = _define(dataclass), _define(dataclasses.dataclass)
WORDS = [
    "Frozen(1)",
    "Frozen(1, 'y', {'a': 1}, b'z')",
    "Frozen(offset=3, secret=b'k').secret",
    "Frozen()",
    "Frozen(1, wrong=2)",
    "Frozen(1) == Frozen(1, sets={'b': 2})",
    "Frozen(1) == Frozen(2)",
    "Frozen(1) == (1, 'x')",
    "Frozen(1) != Frozen(1)",
    "hash(Frozen(1)) == hash(Frozen(1, sets={'b': 2}))",
    "len({Frozen(1), Frozen(1), Frozen(2)})",
    "setattr(Frozen(1), 'offset', 2)",
    "delattr(Frozen(1), 'offset')",
    "dataclasses.replace(Frozen(1), offset=5)",
    "dataclasses.asdict(Frozen(1))",
    "dataclasses.astuple(Named(low=2))",
    "[field.name for field in dataclasses.fields(Frozen)]",
    "Frozen.__match_args__, Named.__match_args__, Frozen.__slots__",
    "Changing().items is Changing().items",
    "Changing([1]) == Changing([1])",
    "hash(Changing())",
    "setattr(Changing(), 'other', 1)",
    "(lambda one: one.items.append(one) or one)(Changing())",
    "Named(1)",
    "Named(low=1)",
    "Itself(1) == Itself(1)",
    "(lambda one: one == one and len({one, one}))(Itself(1))",
    "str(Failure(3)), Failure(3).offset, Failure(3) == Failure(3)",
    "hash(Failure(3))",
    "Empty(), Empty() == Empty(), hash(Empty()) == hash(Empty())",
]


def _answer(words: str, classes: dict[str, Any]) -> str:
    try:
        return repr(eval(words, {"dataclasses": dataclasses, **classes}))
    except (TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("words", WORDS)
def test_answers_as_the_standard_decorator_does(words: str) -> None:
    first, then = _answer(words, OURS), _answer(words, OURS)
    assert first == then == _answer(words, STANDARD)


def test_nothing_is_compiled_until_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = 0
    execute = builtins.exec

    def count(*args: Any) -> None:
        nonlocal compiled
        compiled += 1
        execute(*args)

    monkeypatch.setattr(builtins, "exec", count)
    frozen = _define(dataclass)["Frozen"]
    assert compiled == 0
    assert frozen(1) == frozen(1)
    assert compiled == 2, "__init__ and __eq__"
    assert frozen(2) != frozen(3)
    assert compiled == 2, "each is compiled once"
    _define(dataclasses.dataclass)
    assert compiled > 2, "which this count would have seen"


def test_a_subclass_uses_what_its_base_compiles() -> None:
    base = _define(dataclass)["Changing"]

    class Heir(base):  # type: ignore[misc,valid-type]
        pass

    assert Heir([2]).items == [2]
    assert Heir([2]) == Heir([2])
    assert Heir([2]) != base([2])
