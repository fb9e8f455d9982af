"""Chooses the runtime, containers or local processes, and gives the reason."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.runtime import Runtime

# A local engine answers in milliseconds; one behind a dead DOCKER_HOST never does.
_ENGINE_TIMEOUT_S = 10


def choose(environ: Mapping[str, str], progress: Progress | None = None) -> tuple[Runtime, str]:
    """Return the runtime that RUNTIME names, else the one that this copy runs in, else what works.

    The second value is the reason as the rest of a sentence. Raises StackError for another value of
    RUNTIME.
    """
    local = LocalRuntime(environ, progress=progress)
    asked = environ.get("RUNTIME", "")
    if asked not in ("", "compose", "local"):
        raise StackError(f"RUNTIME={asked!r} is neither compose nor local", "make up RUNTIME=local")
    if asked == "local":
        return local, "RUNTIME=local"
    if not asked and local.is_started():
        return local, "this copy runs as local processes"
    if not asked and (fault := engine_fault()):
        return local, fault
    reason = "RUNTIME=compose" if asked else "docker compose and an engine answer"
    return ComposeRuntime(environ, progress=progress), reason


def running(environ: Mapping[str, str], remedy: str = "make up") -> Runtime:
    """Return the runtime of the running stack. Raises StackError with *remedy* if it is not up."""
    runtime, _ = choose(environ)
    if not runtime.is_up():
        raise StackError(f"the stack {runtime.name} is not up", remedy)
    return runtime


def engine_fault() -> str | None:
    """Return why containers cannot run here; None when they can."""
    if shutil.which("docker") is None:
        return "there is no docker command here"
    for command, fault in (
        (["docker", "compose", "version"], "docker has no compose plugin"),
        (["docker", "version", "--format", "{{.Server.Version}}"], "no container engine answers"),
    ):
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_ENGINE_TIMEOUT_S, check=False
            )
        except (subprocess.TimeoutExpired, OSError):
            return f"`{' '.join(command[:2])}` does not answer"
        if done.returncode != 0:
            return fault
    return None
