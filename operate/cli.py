"""The commands of `python -m operate`, each from the module that it is named after."""

from __future__ import annotations

from operate.accounts_move import accounts_move
from operate.audit import audit
from operate.backup import backup
from operate.certs import certs
from operate.deploy import deploy
from operate.restore import restore
from operate.rotate import rotate
from operate.sbom import sbom
from operate.top import top
from stack.commands import Command

COMMANDS: dict[str, Command] = {
    "accounts-move": accounts_move,
    "audit": audit,
    "backup": backup,
    "certs": certs,
    "deploy": deploy,
    "restore": restore,
    "rotate": rotate,
    "sbom": sbom,
    "top": top,
}
