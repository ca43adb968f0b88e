"""What callers may hand over as values, keys, timestamps and settings, in one form."""

import operator
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...core.log_config import TOPIC_CONFIG_DEFS
from .errors import ArgumentTypeError, InvalidArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_ONE_VALUE = (bytes, bytearray, memoryview, str)
INT64_MAX = 2**63 - 1


def as_whole(value: object, name: str, *, least: int = -INT64_MAX, most: int = INT64_MAX) -> int:
    """An int within both bounds, of an int or of what numpy has instead; no bool, no float."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentTypeError(name, value, "it must be a whole number")
    number = operator.index(value)
    if not least <= number <= most:
        raise InvalidArgumentError(name, value, f"it must lie between {least} and {most}")
    return number


def as_text(value: object, name: str) -> str:
    """A str."""
    if not isinstance(value, str):
        raise ArgumentTypeError(name, value, "it must be a str")
    return value


def as_seconds(value: object, name: str) -> float | None:
    """A number of seconds that a wait can have, or None for ever."""
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ArgumentTypeError(name, value, "it must be a number of seconds, or None")
    seconds = float(value)
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise InvalidArgumentError(name, value, "it must be 0 or more, and no longer than a wait")
    return seconds


def as_header_pairs(headers: object) -> list[tuple[str, Any]]:
    """Pairs of a header's name and its content."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    wanted = "it takes a mapping, or pairs, of str to bytes-like or None"
    if isinstance(pairs, _ONE_VALUE) or not isinstance(pairs, Iterable):
        raise ArgumentTypeError("headers", headers, wanted)
    found = list(pairs)
    for pair in found:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ArgumentTypeError("headers", headers, wanted)
    return found


def as_list(values: "Iterable[Any] | ArrayLike", what: str) -> list[Any]:
    """A list of bytes-likes; numpy arrays of S, U (as UTF-8) and objects are converted."""
    if isinstance(values, list):
        return values
    if isinstance(values, _ONE_VALUE):
        raise ArgumentTypeError(what, values, "it must be a list of bytes-likes, not a single one")
    dtype = getattr(values, "dtype", None)
    kind = getattr(dtype, "kind", None)
    if kind == "U":
        import numpy as np

        return list(np.char.encode(np.asarray(values), "utf-8").tolist())
    if kind is not None and kind not in "SO":
        raise ArgumentTypeError(what, values, f"{dtype} is fixed-width: use append_array")
    if not isinstance(values, Iterable):
        raise ArgumentTypeError(what, values, "it must be a list of bytes-likes")
    return list(values.tolist()) if kind else list(values)  # type: ignore[union-attr]


def as_rows(array: "ArrayLike", what: str) -> "NDArray[Any]":
    """uint8[n, width] with dense rows, or an array with one axis; raises ValueError, TypeError."""
    import numpy as np

    rows = np.asarray(array)
    if rows.dtype.hasobject:
        raise ArgumentTypeError(what, array, "it holds Python objects: use append_many")
    if rows.ndim == 2 and rows.itemsize != 1:
        raise InvalidArgumentError(
            what,
            array,
            f"it has the shape {rows.shape} of {rows.dtype}: one record is a row of bytes; "
            "pass array.view(numpy.uint8), or an array of one axis",
        )
    if rows.ndim not in (1, 2):
        wanted = f"it has {rows.ndim} axes: it takes uint8[n, width] or one axis"
        raise InvalidArgumentError(what, array, wanted)
    if rows.ndim == 2 and rows.shape[1] > 1 and rows.strides[1] != 1:
        rows = np.ascontiguousarray(rows)
    return rows.view(f"V{rows.itemsize}") if rows.dtype.kind in "mM" else rows


def as_timestamps(timestamps: "ArrayLike | None", count: int) -> "NDArray[np.int64] | None":
    """int64 [ms since the epoch], one a record; datetime64 of any unit is converted."""
    if timestamps is None:
        return None
    import numpy as np

    given = np.asarray(timestamps)
    if given.dtype.kind == "M":
        given = given.astype("datetime64[ms]").astype(np.int64)
    elif given.dtype.kind not in "iu":
        wanted = f"it must be int64 [ms] or datetime64, not {given.dtype}"
        raise ArgumentTypeError("timestamps", timestamps, wanted)
    if given.shape != (count,):
        wanted = f"it has the shape {given.shape} for {count} records"
        raise InvalidArgumentError("timestamps", timestamps, wanted)
    return np.ascontiguousarray(given, dtype=np.int64)


def check_lengths(value_count: int, key_count: int | None) -> None:
    """Raise ValueError unless there is a key for each value, or no keys at all."""
    if key_count is not None and key_count != value_count:
        raise InvalidArgumentError("keys", key_count, f"{key_count} keys for {value_count} values")


def as_topic_configs(config: Mapping[str, object] | None) -> dict[str, str]:
    """Kafka's setting names with their values as text; `retention_ms` is `retention.ms` too."""
    texts = {}
    if config is not None and not isinstance(config, Mapping):
        raise ArgumentTypeError("config", config, "it must be a mapping of Kafka's topic settings")
    for name, value in (config or {}).items():
        as_text(name, "a setting's name")
        dotted = name if name in TOPIC_CONFIG_DEFS else name.replace("_", ".")
        texts[dotted if dotted in TOPIC_CONFIG_DEFS else name] = config_text(value)
    return texts


def config_text(value: object) -> str:
    """A setting's value as Kafka writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(str(each) for each in value)
    return str(value)
