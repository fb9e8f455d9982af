"""The commands of `python -m operate`, each from the module that it is named after."""

from __future__ import annotations

from stack.commands import Command

COMMANDS: dict[str, Command] = {}
