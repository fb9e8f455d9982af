"""``python3 -m lab COMMAND``: installs what the lab needs, then runs lab.cli in .venv.

Any Python 3.11 or newer can run this file: it needs no packages.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from stack import commands, venv
from stack.errors import StackError

OWN = (Path("lab/requirements/lab.txt"), Path("lab/requirements/lab-servers.txt"))
PINS = (*venv.SERVE, *venv.LOADTEST, *OWN)


# lab.plan.two_refs.CANNOT_TELL: for git bisect 1 would mean that the commit is slower.
CANNOT_TELL = 125


def in_venv(_: Mapping[str, str]) -> int:
    try:
        return venv.run_python(["-m", "lab.cli", *sys.argv[1:]], PINS)
    except StackError as error:
        if not any(word.split("=")[0] == "--b" for word in sys.argv):
            raise
        print(f"{error.log}\nlab: {error}".strip(), file=sys.stderr)
        return CANNOT_TELL


if __name__ == "__main__":
    names = ("compare", "experiments", "repeat", "report", "bench", "pages", "quotes", "reloads")
    sys.exit(commands.run("lab", dict.fromkeys(names, in_venv), sys.argv[1:2]))
