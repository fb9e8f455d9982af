"""Reads ``.env`` as Docker Compose reads it, so that one file serves both runtimes.

Supported: comments, ``export``, single quotes (literal), double quotes (escapes), and ``$NAME``,
``${NAME}``, ``${NAME:-default}``, ``${NAME-default}`` outside single quotes. Values of several
lines, which Compose allows, are refused: no setting of the stack needs one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*[=:](?P<rest>.*)")
_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<operator>:?-)(?P<default>[^}]*))?\})"
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def read(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the file's variables; none when there is no file.

    References are looked up in *environ*, then in the lines above. Raises StackError, which names
    the line that cannot be parsed.
    """
    if not path.is_file():
        return {}
    values: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        value = _value(match["rest"], {**values, **environ}) if match else None
        if match is None or value is None:
            raise StackError(f"{path.name}, line {number}, is not NAME=value: {text}")
        values[match["name"]] = value
    return values


def _value(rest: str, known: Mapping[str, str]) -> str | None:
    """Return the value after the name; None for an open quote or text behind a closed one."""
    rest = rest.lstrip()
    if not rest.startswith(("'", '"')):
        return _expand(re.split(r"\s#", rest, maxsplit=1)[0].rstrip(), known)
    quote = rest[0]
    pattern = r"'([^']*)'" if quote == "'" else r'"((?:[^"\\]|\\.)*)"'
    match = re.fullmatch(pattern + r"\s*(?:#.*)?", rest)
    if match is None:
        return None
    if quote == "'":
        return match[1]
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), _expand(match[1], known))


def _expand(text: str, known: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        value = known.get(match["bare"] or match["braced"])
        if match["operator"] and (value is None or (match["operator"] == ":-" and not value)):
            return match["default"] or ""
        return value or ""

    return _REFERENCE.sub(replace, text)
