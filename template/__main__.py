"""``python3 -m template new|template-diff``; see new.py and diff.py."""

import sys

from stack.commands import run
from template.diff import diff
from template.new import new

sys.exit(run("template", {"new": new, "template-diff": diff}))
