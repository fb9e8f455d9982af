"""``python -m stack``: the commands behind the Makefile's targets."""

import sys

from stack.cli import COMMANDS
from stack.commands import run

sys.exit(run("stack", COMMANDS))
