"""Chooses the runtime, containers or local processes, and gives the reason."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.runtime import Runtime

# A local engine answers in milliseconds; one behind a dead DOCKER_HOST never does.
_ENGINE_TIMEOUT_S = 10


@dataclass(frozen=True)
class Choice:
    """A runtime, its kind, and the reason for it as the rest of a sentence."""

    runtime: Runtime
    kind: Literal["local", "compose"]
    reason: str


def choose(
    environ: Mapping[str, str], checkout: Path = CHECKOUT, progress: Progress | None = None
) -> Choice:
    """Return the runtime that RUNTIME names, else the one that this copy runs in, else what works.

    Raises StackError for another value of RUNTIME.
    """
    local = LocalRuntime(environ, checkout, progress=progress)
    asked = environ.get("RUNTIME", "")
    if asked not in ("", "compose", "local"):
        raise StackError(f"RUNTIME={asked!r} is neither compose nor local", "make up RUNTIME=local")
    if asked == "local":
        return Choice(local, "local", "RUNTIME=local")
    if not asked and local.is_started():
        return Choice(local, "local", "this copy runs as local processes")
    fault = None if asked else engine_fault()
    if fault:
        return Choice(local, "local", fault)
    reason = "RUNTIME=compose" if asked else "docker compose and an engine answer"
    return Choice(ComposeRuntime(environ, checkout, progress=progress), "compose", reason)


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
                command, capture_output=True, text=True, timeout=_ENGINE_TIMEOUT_S, check=False
            )
        except (subprocess.TimeoutExpired, OSError):
            return f"`{' '.join(command[:2])}` does not answer"
        if done.returncode != 0:
            return fault
    return None
