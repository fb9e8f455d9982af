"""Chooses the runtime, containers or local processes, and gives the reason."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.runtime import Runtime

# A local engine answers in milliseconds; one behind a dead DOCKER_HOST never does.
_ENGINE_TIMEOUT_S = 10


def choose(environ: Mapping[str, str], progress: Progress | None = None) -> tuple[Runtime, str]:
    """Return the runtime that RUNTIME names, else the one of this copy, else what works.

    The second value is the reason as the rest of a sentence. Raises StackError for another value of
    RUNTIME, and if the containers of this name belong to another checkout.
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
    compose = ComposeRuntime(environ, progress=progress)
    containers = compose.containers()
    if not asked and not containers and _last(local.name) == local.kind:
        return local, "this copy ran as local processes before"
    for container in containers.values():
        other = Path(container.checkout)
        if other.resolve() != CHECKOUT and (other / "docker-compose.yml").exists():
            raise StackError(
                f"{container.name} belongs to the checkout {other}", "make up STACK_NAME=another"
            )
    return compose, "RUNTIME=compose" if asked else "docker compose and an engine answer"


def remember(runtime: Runtime) -> None:
    """Let choose() return to this runtime: the data of a copy is not in the other one."""
    file = CHECKOUT / "run" / runtime.name / "runtime"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{runtime.kind}\n", encoding="ascii")


def _last(name: str) -> str:
    try:
        return (CHECKOUT / "run" / name / "runtime").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def running(environ: Mapping[str, str], remedy: str = "make up") -> Runtime:
    """Return the runtime of the running stack. Raises StackError with *remedy* if it is not up."""
    runtime, _ = choose(environ)
    runtime.require_up(remedy)
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
