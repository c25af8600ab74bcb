"""Numbers and names as a page carries them: arrays in base64, and JSON that cannot end its block."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"f": "f4", "i": "i4", "u": "u1", "b": "u1"}
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class Packed:
    """An array on its way into the page: `kind` as in numpy's `dtype.str` without the order."""

    name: str
    kind: str
    shape: tuple[int, ...]
    text: str


def pack(name: str, array: NDArray[Any]) -> Packed:
    """Single precision for tables; a column of doubles keeps all its digits.

    Example:
        >>> pack("labels", np.array([1, 2]))
        Packed(name='labels', kind='i4', shape=(2,), text='AQAAAAIAAAA=')
    """
    kind = "f8" if array.dtype == np.float64 and array.ndim == 1 else _TYPES[array.dtype.kind]
    data = np.ascontiguousarray(array, dtype=f"<{kind}").tobytes()
    return Packed(name, kind, array.shape, base64.b64encode(data).decode())


def arrays_in(value: Any, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array of a dataclass and of those in it, by a name such as `top.rows`."""
    for field in fields(value):
        inside = getattr(value, field.name)
        if isinstance(inside, np.ndarray):
            yield prefix + field.name, inside
        elif is_dataclass(inside):
            yield from arrays_in(inside, f"{prefix}{field.name}.")


def as_json(value: Any) -> str:
    """JSON for a block of a page: no sign in it that HTML or an older script would take for its own.

    Example:
        >>> as_json({"name": "</script>"})
        '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES).encode("utf-8", "replace").decode()
