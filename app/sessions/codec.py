"""Session values to bytes and back: msgpack with the types that Flask's own sessions keep.

Never pickle: write access to Redis must not become code execution in the app. Types that msgpack
lacks are extension types, so a tuple comes back as a tuple and a Markup as safe. Each value is
encoded separately, so two requests can change different keys.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from types import NoneType
from typing import Any
from uuid import UUID

import msgspec
from markupsafe import Markup
from msgspec.msgpack import Ext

TUPLE, MARKUP, UUID_, DATETIME, DATE, INTEGER = range(1, 7)

_PLAIN: frozenset[type] = frozenset({str, float, bool, bytes, NoneType})
# A value of one of these types cannot change inside.
IMMUTABLE: frozenset[type] = _PLAIN | {int, Markup, UUID, datetime, date}
_encode = msgspec.msgpack.Encoder().encode


def encode(value: object) -> bytes:
    """Raises TypeError, naming the type that a session cannot hold, and ValueError for bad text."""
    return _encode(value if type(value) in _PLAIN else _tagged(value))


def _tagged(value: object) -> object:  # noqa: PLR0911 - a table of types
    kind = type(value)
    if kind in _PLAIN:
        return value
    match value:
        case int() if kind is int:
            return value if -(2**63) <= value < 2**64 else Ext(INTEGER, str(value).encode())
        case dict():
            return {_tagged(key): _tagged(item) for key, item in value.items()}
        case list():
            return [_tagged(item) for item in value]
        case tuple():
            return Ext(TUPLE, _encode([_tagged(item) for item in value]))
        case UUID():
            return Ext(UUID_, value.bytes)
        case datetime():
            return Ext(DATETIME, value.isoformat().encode())
        case date():
            return Ext(DATE, value.isoformat().encode())
    if hasattr(value, "__html__"):
        return Ext(MARKUP, str(value.__html__()).encode())
    raise TypeError(
        f"a session cannot hold a {kind.__module__}.{kind.__qualname__}: store a str, number, "
        "bool, None, bytes, datetime, date, UUID, Markup, or a list, tuple or dict of these"
    )


_READERS: dict[int, Callable[[bytes], Any]] = {
    TUPLE: lambda payload: tuple(decode(payload)),
    MARKUP: lambda payload: Markup(payload.decode()),  # noqa: S704 - it was Markup when it was stored
    UUID_: lambda payload: UUID(bytes=payload),
    DATETIME: lambda payload: datetime.fromisoformat(payload.decode()),
    DATE: lambda payload: date.fromisoformat(payload.decode()),
    INTEGER: int,
}


# Raises an Exception of any type for bytes that `encode` did not make.
decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(
    ext_hook=lambda code, payload: _READERS[code](bytes(payload))
).decode
