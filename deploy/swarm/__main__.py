"""``python -m deploy.swarm``: the commands behind `make swarm-up` and `make swarm-down`."""

import sys

from deploy.swarm.cluster import down, up
from stack.commands import run

sys.exit(run("deploy.swarm", {"swarm-up": up, "swarm-down": down}))
