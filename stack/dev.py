"""`make dev`: Flask's development server with debugger and reloader, on the stack's Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from stack import ports, project
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.venv import DEVELOP, VirtualEnvironment

DEFAULT_PORT = 5000
_ADDRESS = "127.0.0.1"  # never public: the debugger executes what it is sent


def run(environ: Mapping[str, str]) -> int:
    """Serve until Ctrl-C, with the running copy's Redis or one that ends with the server.

    nginx and uWSGI do not take part, so there is no TLS, no check of host names and no limit.
    """
    progress = Progress.to_terminal()
    port = _port(environ)
    settings = {"STACK_DEMO": "on", **environ, "STACK_TLS": "off", "STACK_HOSTS": ""}
    stack = LocalRuntime(settings, progress=progress)
    VirtualEnvironment(CHECKOUT, progress).ensure(DEVELOP)
    borrowed = stack.is_started()
    if not borrowed:
        stack.up(services=("redis",))
    try:
        services = stack.service_environment() | stack.toggles
        services |= project.variables(CHECKOUT, services)
        _provide_secret_key(services)
        folder = CHECKOUT / project.FOLDER
        before = subprocess.run(
            ["sh", "-c", stack.toggles["STACK_BEFORE_START"]], cwd=folder, env=services, check=False
        )
        if before.returncode != 0:
            raise StackError(f"STACK_BEFORE_START failed with exit code {before.returncode}")
        application = stack.toggles["STACK_APP"]
        print(f"\nhttp://{_ADDRESS}:{port} serves {application} and reloads changed files.")
        print("Ctrl-C stops it" + ("; the stack stays up." if borrowed else " and its Redis."))
        flask = [os.fspath(CHECKOUT / ".venv" / "bin" / "flask"), "--app", application, "run"]
        with subprocess.Popen(
            [*flask, "--debug", "--host", _ADDRESS, "--port", str(port)],
            cwd=folder,
            env=services,
        ) as server:
            try:
                return server.wait()
            except KeyboardInterrupt:
                server.terminate()
                server.wait()
                return 0
    finally:
        if not borrowed:
            stack.down()


def _port(environ: Mapping[str, str]) -> int:
    text = environ.get("PORT", "")
    if text:
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise StackError(f"PORT={text!r} is not a port", "make dev PORT=5001")
        if ports.try_bind(_ADDRESS, int(text)) is not None:
            raise StackError(f"port {text} is taken", f"make dev PORT={int(text) + 1}")
        return int(text)
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + 100)
    return next(port for port in candidates if ports.try_bind(_ADDRESS, port) is None)


def _provide_secret_key(environ: Mapping[str, str]) -> None:
    """Create the app's key as uwsgi/entrypoint does, which may not have run yet."""
    script = CHECKOUT / "uwsgi" / "secret_key.py"
    done = subprocess.run(
        [sys.executable, script], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise StackError(done.stderr.strip(), "check the permissions of that directory")
