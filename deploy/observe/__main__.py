"""``python -m deploy.observe``: the command behind `make observe`."""

import sys

from deploy.observe.local import observe
from stack.commands import run

sys.exit(run("deploy.observe", {"observe": observe}))
