"""What callers may hand over as values, keys, timestamps and settings, in one form."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...core.log_config import TOPIC_CONFIG_DEFS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_ONE_VALUE = (bytes, bytearray, memoryview, str)


def as_list(values: "Iterable[Any] | ArrayLike", what: str) -> list[Any]:
    """A list of bytes-likes; numpy arrays of S, U (as UTF-8) and objects are converted."""
    if isinstance(values, list):
        return values
    if isinstance(values, _ONE_VALUE):
        raise TypeError(f"{what} must be a list of bytes-likes, not one {type(values).__name__}")
    dtype = getattr(values, "dtype", None)
    kind = getattr(dtype, "kind", None)
    if kind == "U":
        import numpy as np

        return list(np.char.encode(np.asarray(values), "utf-8").tolist())
    if kind is not None and kind not in "SO":
        raise TypeError(f"{what} of {dtype} are fixed-width: use append_array")
    return list(values.tolist()) if kind else list(values)  # type: ignore[union-attr, arg-type]


def as_rows(array: "ArrayLike", what: str) -> "NDArray[Any]":
    """uint8[n, width] with dense rows, or an array with one axis; raises ValueError, TypeError."""
    import numpy as np

    rows = np.asarray(array)
    if rows.dtype.hasobject:
        raise TypeError(f"{what} holds Python objects: use append_many")
    if rows.ndim == 2 and rows.itemsize != 1:
        raise ValueError(
            f"{what} has the shape {rows.shape} of {rows.dtype}: one record is a row of bytes; "
            "pass array.view(numpy.uint8), or an array of one axis"
        )
    if rows.ndim not in (1, 2):
        raise ValueError(f"{what} has {rows.ndim} axes: it takes uint8[n, width] or one axis")
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
        raise TypeError(f"timestamps must be int64 [ms] or datetime64, not {given.dtype}")
    if given.shape != (count,):
        raise ValueError(f"timestamps of the shape {given.shape} for {count} records")
    return np.ascontiguousarray(given, dtype=np.int64)


def check_lengths(value_count: int, key_count: int | None) -> None:
    """Raise ValueError unless there is a key for each value, or no keys at all."""
    if key_count is not None and key_count != value_count:
        raise ValueError(f"{key_count} keys for {value_count} values")


def as_topic_configs(config: Mapping[str, object] | None) -> dict[str, str]:
    """Kafka's setting names with their values as text; `retention_ms` is `retention.ms` too."""
    texts = {}
    for name, value in (config or {}).items():
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
