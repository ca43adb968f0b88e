"""`dataclass`: what `dataclasses.dataclass` makes, without a compiler run for each class.

The standard one writes the text of four to seven functions for each class and compiles them when
the module is imported.  For the 78 classes of a broker that was a third of all instructions of its
imports, at each start, and most of those functions are never called.  Here a function is compiled
when it is first called, and is then the same as the standard one's.

`field`, `fields`, `replace`, `asdict` and `astuple` of `dataclasses` know these classes as theirs.
Not done, as nothing here asks for it: order, __post_init__, InitVar, weakref_slot, and copies of
frozen classes by `copy` or pickle, which fail loudly.  `inspect.signature` does not see the fields:
a class that people who use the package look up keeps the standard decorator.
"""

import dataclasses
import reprlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A checker knows fields and signatures by this name only.
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, kw_only=False, eq=True):
        """The class with __init__, __repr__, __eq__ and what `frozen` asks for."""

        def make(bare):
            made = dataclasses.dataclass(
                init=False, repr=False, eq=False, slots=slots, kw_only=kw_only
            )(bare)
            _add_methods(made, frozen, eq)
            return made

        return make if cls is None else make(cls)


def _add_methods(cls: type[Any], is_frozen: bool, has_equality: bool) -> None:
    """Whatever the class defines itself stays, as with the standard one."""
    write_init = _write_frozen_init if is_frozen else _write_init
    methods: dict[str, Any] = {
        "__init__": _compiled_when_called(cls, "__init__", write_init),
        "__repr__": _repr,
    }
    if has_equality:
        methods["__eq__"] = _compiled_when_called(cls, "__eq__", _write_equality)
        methods["__hash__"] = (
            _compiled_when_called(cls, "__hash__", _write_hash) if is_frozen else None
        )
    if is_frozen:
        methods["__setattr__"] = _refuse_assignment
        methods["__delattr__"] = _refuse_deletion
    own = cls.__dict__
    for name, method in methods.items():
        if name not in own:
            setattr(cls, name, method)


_Known = dict[str, Any]  # what the text of a function refers to
_WriteFunction = Callable[[type[Any], _Known], str]


def _compiled_when_called(
    cls: type[Any], name: str, write_function: _WriteFunction
) -> Callable[..., Any]:
    """The method `name` of `cls`, which puts the real one in its place when it is first called."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        known: _Known = {}
        text = write_function(cls, known)
        exec(compile(text, f"<{cls.__qualname__}.{name}>", "exec"), known)
        made: Callable[..., Any] = known[name]
        made.__qualname__ = f"{cls.__qualname__}.{name}"  # what a wrong call is told
        setattr(cls, name, made)
        return made(*args, **kwargs)

    stand_in.__name__ = name
    stand_in.__qualname__ = f"{cls.__qualname__}.{name}"
    return stand_in


def _write_init(cls: type[Any], known: _Known, assignment: str = "self.{} = {}") -> str:
    """A parameter for each field and an assignment for each, as one writes it."""
    parameters: list[str] = []
    keyword_parameters: list[str] = []
    body: list[str] = []
    known["_MADE"] = dataclasses.MISSING
    for field in dataclasses.fields(cls):
        name = parameter = value = field.name
        if field.default is not dataclasses.MISSING:
            known[f"_default_{name}"] = field.default
            parameter = f"{name}=_default_{name}"
        elif field.default_factory is not dataclasses.MISSING:
            known[f"_factory_{name}"] = field.default_factory
            parameter = f"{name}=_MADE"
            value = f"_factory_{name}() if {name} is _MADE else {name}"
        (keyword_parameters if field.kw_only else parameters).append(parameter)
        body.append(assignment.format(name, value))
    if keyword_parameters:
        parameters += ["*", *keyword_parameters]
    return f"def __init__({', '.join(['self', *parameters])}):\n " + "\n ".join(body or ["pass"])


def _write_frozen_init(cls: type[Any], known: _Known) -> str:
    known["_set"] = object.__setattr__  # past what refuses assignments
    return _write_init(cls, known, "_set(self, '{}', {})")


def _write_equality(cls: type[Any], _: _Known) -> str:
    return (
        "def __eq__(self, other):\n"
        " if other.__class__ is not self.__class__:\n"
        "  return NotImplemented\n"
        f" return {_compared(cls, 'self')} == {_compared(cls, 'other')}"
    )


def _write_hash(cls: type[Any], _: _Known) -> str:
    return f"def __hash__(self):\n return hash({_compared(cls, 'self')})"


def _compared(cls: type[Any], name: str) -> str:
    """What tells two objects of the class apart, as the text of a tuple."""
    return f"({''.join(f'{name}.{f.name},' for f in dataclasses.fields(cls) if f.compare)})"


@reprlib.recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse_assignment(self: Any, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
