"""`make deploy` names the files that a new master does not read: the entrypoint's own modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from operate.deploy_processes import READ_AT_START
from stack.checkout import CHECKOUT

LOADED = """
import runpy, sys
runpy.run_path("uwsgi/entrypoint", run_name="loaded")
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "built in")
"""


def test_every_module_of_the_entrypoint_is_in_the_list() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    rooms = ("uwsgi", "toggles")
    files = [Path(name) for name in loaded.stdout.splitlines()]
    ours = {f"{file.parent.name}/{file.name}" for file in files if file.parent.name in rooms}
    assert ours | {"uwsgi/entrypoint"} == set(READ_AT_START["app"])
