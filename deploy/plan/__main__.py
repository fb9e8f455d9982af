"""``python -m deploy.plan``: the command behind `make plan`."""

import sys

from deploy.plan.command import plan
from stack.commands import run

sys.exit(run("deploy.plan", {"plan": plan}))
