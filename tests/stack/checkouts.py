"""Copied checkouts, and `make` in them."""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from stack import ports
from stack.checkout import CHECKOUT

# Needs no Redis. It shows the version and the process that answer, and is slow on request.
TINY_APP = """
import os, time
VERSION = "one"
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VERSION} {os.getpid()}".encode()]
"""


def own_name() -> str:
    return f"test-{secrets.token_hex(4)}"


def get(url: str) -> tuple[int, str]:
    """Return status and body, also of an error."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def answers(url: str) -> bool:
    """Whether *url* has a whole answer with status 200; a server that ends may send a part."""
    try:
        return get(url)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def copy_checkout(to: Path, *, venv: bool = True) -> Path:
    """Copy the files that git would publish, and link the .venv unless *venv* is False.

    Bytecode comes along, so that no process of the copy has to compile. A changed file is compiled
    all the same, because its time differs.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (CHECKOUT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, to / name)
    for folder in {(CHECKOUT / name).parent for name in listed.stdout.splitlines()}:
        if (folder / "__pycache__").is_dir():
            cache = to / folder.relative_to(CHECKOUT) / "__pycache__"
            # Not what is being written.
            written = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(folder / "__pycache__", cache, ignore=written, dirs_exist_ok=True)
    if venv:
        (to / ".venv").symlink_to(CHECKOUT / ".venv")
    return to


class Commands:
    """Runs ``make`` in a checkout, with a name and a port of its own."""

    def __init__(self, checkout: Path, **environ: str) -> None:
        self.checkout = checkout
        self.port = ports.free()
        self.name = own_name()
        self.url = f"http://127.0.0.1:{self.port}"
        self.run_dir = checkout / "run" / self.name
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("STACK_", "MAKE"))}
        self.environ = {
            **inherited,
            "RUNTIME": "local",
            "STACK_NAME": self.name,
            "STACK_PORT": str(self.port),
            "PYTHON": sys.executable,
            **environ,
        }

    def make(
        self, *arguments: str, input: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments],
            cwd=self.checkout,
            env={**self.environ, **environ},
            input=input,
            capture_output=True,
            text=True,
            timeout=600,  # a first `up` compiles uWSGI, perhaps on a busy machine
            check=False,
        )

    def processes(self) -> list[str]:
        """Return the command lines of all processes of this checkout."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                where = str((entry / "cwd").readlink())
            except OSError:
                continue
            if int(entry.name) != os.getpid() and str(self.checkout) in f"{line} {where}":
                found.append(line)
        return found
