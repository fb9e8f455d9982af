"""Reads ``.env`` as Docker Compose reads it, so that one file serves both runtimes.

Supported: comments, ``export``, single quotes (literal), double quotes (escapes), quoted values of
several lines, and outside single quotes ``$NAME`` and ``${NAME}`` with ``-``, ``+`` or ``?``, also
behind a colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from stack.errors import StackError

_BLANK = re.compile(r"(?:\s|#[^\n]*)+")
_ENTRY = re.compile(
    r"(?:export[ \t]+)?(?P<name>[A-Za-z0-9_.-]+)[ \t]*[=:][ \t]*(?:"
    r"(?:'(?P<literal>(?:[^'\\]|\\.)*)'|\"(?P<quoted>(?:[^\"\\]|\\.)*)\")[ \t]*(?:#[^\n]*)?"
    r"|(?P<plain>(?!['\"])[^\n]*))(?:\n|\Z)",
    re.DOTALL,
)
_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<operator>:?[-+?])(?P<word>(?:[^{}]|\{[^{}]*\})*))?\})"
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def read(
    path: Path, environ: Mapping[str, str], refuse: Callable[[StackError], None] | None = None
) -> dict[str, str]:
    """Return the file's variables; none when there is no file.

    References are looked up in *environ*, then in the lines above. A line that cannot be parsed is
    raised as StackError, or given to *refuse* and left out.
    """
    if not path.is_file():
        return {}

    def fault(message: str) -> None:
        error = StackError(f"{path.name}{message}", "correct it")
        if refuse is None:
            raise error
        refuse(error)

    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeError) as error:
        fault(f" cannot be read ({error})")
        return {}
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        if match := _BLANK.match(text, at):
            pass
        elif match := _ENTRY.match(text, at):
            try:
                values[match["name"]] = _value(match, {**values, **environ})
            except KeyError as error:
                fault(f", line {_line(text, at)}: {error.args[0]}")
        else:
            # Without the line itself, which may hold a secret.
            fault(f", line {_line(text, at)}, is not NAME=value, or a quote is not closed")
        at = match.end() if match else (text + "\n").index("\n", at)
    return values


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _value(match: re.Match[str], known: Mapping[str, str]) -> str:
    if match["literal"] is not None:
        return match["literal"].replace("\\'", "'")
    if match["quoted"] is not None:
        # In pairs, so that an escaped dollar begins no reference.
        parts = re.split(r"(\\.)", match["quoted"], flags=re.DOTALL)
        return "".join(
            _ESCAPES.get(part[1], part) if part[:1] == "\\" else _expand(part, known)
            for part in parts
        )
    return _expand(re.split(r"\s#", match["plain"], maxsplit=1)[0].rstrip(), known)


def _expand(text: str, known: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name = match["bare"] or match["braced"]
        value = known.get(name)
        operator = match["operator"] or ""
        given = bool(value) if ":" in operator else value is not None
        if operator[-1:] == "?" and not given:
            raise KeyError(f"{name} is not set ({match['word']})")
        if operator and operator[-1] != "?" and given == (operator[-1] == "+"):
            return _expand(match["word"], known)
        return "" if operator[-1:] == "+" else value or ""

    return _REFERENCE.sub(replace, text)
