"""Lua scripts that are called by their hash and sent in full only when Redis has forgotten them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from .connection import Argument, Command

# A script turned into a command: `script(keys, arguments)`.
Script = Callable[..., Command]


class Scripts:
    """The scripts of one client."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def add(self, lua: str) -> Script:
        # SHA-1 because Redis names scripts by it.
        sha = hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest()
        self._texts[sha] = lua

        def command(keys: Sequence[Argument], arguments: Sequence[Argument] = ()) -> Command:
            return ("EVALSHA", sha, len(keys), *keys, *arguments)

        return command

    def in_full(self, command: Command) -> Command:
        """The same call, with the script's text; Redis remembers it from then on."""
        return ("EVAL", self._texts[str(command[1])], *command[2:])
