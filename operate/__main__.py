"""``python -m operate``: the commands behind the targets of operate.mk."""

import sys

from operate.cli import COMMANDS
from stack.commands import run

sys.exit(run("operate", COMMANDS))
