"""Session values to bytes and back: msgpack, by the rules of Flask's own sessions.

Never pickle: write access to Redis must not become code execution in the app. Types that msgpack
lacks are extension types, so a tuple comes back as a tuple and a Markup as safe. Other values
become what Flask's JSON makes of them: a Decimal a str, a dataclass a dict. Each value is encoded
separately, so two requests can change different keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import NoneType
from typing import Any
from uuid import UUID

import flask.json
import msgspec
from markupsafe import Markup
from msgspec.msgpack import Ext

TUPLE, MARKUP, UUID_, DATETIME, INTEGER = range(1, 6)

_PLAIN: frozenset[type] = frozenset({str, float, bool, bytes, NoneType})
# A value of one of these types cannot change inside.
IMMUTABLE: frozenset[type] = _PLAIN | {int, Markup, UUID, datetime}
_encode = msgspec.msgpack.Encoder().encode


def encode(value: object) -> bytes:
    """Raises TypeError for a type that a session cannot hold, and ValueError for bad text."""
    return _encode(value if type(value) in _PLAIN else _tagged(value))


def text_of(key: object) -> str:
    """A key as JSON writes it: 1 becomes "1". Raises TypeError when JSON has no such key."""
    if type(key) is str:
        return key
    (text,) = json.loads(json.dumps({key: 0}))
    return str(text)


def _tagged(value: object) -> object:  # noqa: PLR0911 - a table of types, in Flask's order
    kind = type(value)
    if kind in _PLAIN:
        return value
    match value:
        case int() if kind is int:
            return value if -(2**63) <= value < 2**64 else Ext(INTEGER, str(value).encode())
        case dict():
            return {text_of(key): _tagged(item) for key, item in value.items()}
        case tuple():
            return Ext(TUPLE, _encode([_tagged(item) for item in value]))
        case list():
            return [_tagged(item) for item in value]
        case bytes():
            return bytes(value)
    if callable(html := getattr(value, "__html__", None)):
        return Ext(MARKUP, str(html()).encode())
    match value:
        case UUID():
            return Ext(UUID_, value.bytes)
        case datetime():
            # Flask takes a naive time for UTC and returns an aware one.
            utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return Ext(DATETIME, utc.isoformat().encode())
    try:
        return _tagged(json.loads(flask.json.dumps(value)))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"a session cannot hold a {kind.__module__}.{kind.__qualname__} ({error}): store what "
            "JSON can hold, or a tuple, bytes, datetime, UUID or Markup"
        ) from error


_READERS: dict[int, Callable[[bytes], Any]] = {
    TUPLE: lambda payload: tuple(decode(payload)),
    MARKUP: lambda payload: Markup(payload.decode()),  # noqa: S704 - it was Markup when it was stored
    UUID_: lambda payload: UUID(bytes=payload),
    DATETIME: lambda payload: datetime.fromisoformat(payload.decode()),
    INTEGER: int,
}


# Raises an Exception of any type for bytes that `encode` did not make.
decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(
    ext_hook=lambda code, payload: _READERS[code](bytes(payload))
).decode
