"""Lua scripts, called by hash and sent in full only when Redis does not have them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from .connection import Argument, Command

# Makes a command of a script: `script(keys, arguments)`.
Script = Callable[..., Command]


class Scripts:
    """The scripts of one client."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def add(self, lua: str) -> Script:
        # Redis names scripts by their SHA-1.
        sha = hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest()
        self._texts[sha] = lua

        def command(keys: Sequence[Argument], arguments: Sequence[Argument] = ()) -> Command:
            return ("EVALSHA", sha, len(keys), *keys, *arguments)

        return command

    def in_full(self, command: Command) -> Command:
        """The same call with the script's text. Redis keeps the script from then on."""
        return ("EVAL", self._texts[str(command[1])], *command[2:])
