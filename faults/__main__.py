"""``python3 -m faults``; see cli.py. It needs the packages of a local stack only."""

import sys

from faults.cli import faults
from stack.commands import run

sys.exit(run("faults", {"faults": faults}, ["faults", *sys.argv[1:]]))
