"""A copy of the checkout that is up, and `make deploy` of changed files to it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

from lab.measure import login_cookie, trees
from lab.measure.instances import members
from lab.measure.running_arm import FIXED
from stack import ports
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime

RuntimeName = Literal["compose", "local"]

_LINES_OF_LOG = 20


class DeployedCopy:
    """A copy with a name and ports of its own. Each method raises StackError."""

    def __init__(self, runtime: RuntimeName) -> None:
        if not (CHECKOUT / "operate").is_dir():
            raise StackError("a deploy needs the folder operate/, which this copy was made without")
        self._folder = Path(tempfile.mkdtemp(prefix="lab-deploy-"))
        self._deploys = 0
        settings = FIXED | {
            "STACK_NAME": f"lab-{secrets.token_hex(4)}",
            "STACK_BIND": "127.0.0.1",
            "STACK_PORT": str(ports.free()),
        }
        inherited = {k: v for k, v in os.environ.items() if not trees.NOT_INHERITED.fullmatch(k)}
        self._environ = {**inherited, **settings, "RUNTIME": runtime}
        in_containers = runtime == "compose"
        self._runtime = (ComposeRuntime if in_containers else LocalRuntime)(settings, self._folder)
        try:
            trees.copy_working_tree(self._folder)
            (self._folder / ".venv").symlink_to(CHECKOUT / ".venv")
            self._run("stack", "up")
            self.address = self._runtime.address()
            self.cookie = login_cookie.of_demo_account(self.address)
        except (OSError, login_cookie.NoCookie) as error:
            self.stop()
            raise StackError(f"the copy to deploy to cannot be used: {error}") from error
        except BaseException:
            self.stop()
            raise

    def make_reload(self) -> None:
        """Deploy a change of the app's files."""
        self._deploys += 1
        changed = self._folder / "project" / "deployed.txt"
        changed.write_text(f"{self._deploys}\n", encoding="ascii")
        self._run("operate", "deploy")

    def pids(self) -> dict[str, list[int]]:
        if isinstance(self._runtime, ComposeRuntime):
            containers = self._runtime.containers().values()
            return {one.service: members(one.pid) for one in containers}
        return {service: members(pid) for service, pid in self._runtime.main_pids().items()}

    def stop(self) -> None:
        """Delete its containers, images, volumes and files."""
        with suppress(StackError):  # it is not up
            self._runtime.down(volumes=True)
        if isinstance(self._runtime, ComposeRuntime):
            with suppress(StackError):
                self._runtime.remove_images()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, package: str, command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", package, command],
            cwd=self._folder, env=self._environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines()[-_LINES_OF_LOG:]
            raise StackError(f"`python -m {package} {command}` failed", log="\n".join(lines))
