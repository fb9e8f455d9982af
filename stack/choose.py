"""Containers or local processes: takes what the machine can do, and says why."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress

# An engine on this machine answers in milliseconds; one behind a dead DOCKER_HOST never does.
_PATIENCE_S = 10


@dataclass(frozen=True)
class Choice:
    """A runtime, its name for people, and the reason in half a sentence."""

    runtime: LocalRuntime | ComposeRuntime
    kind: str
    reason: str


def choose(
    environ: Mapping[str, str], checkout: Path = CHECKOUT, progress: Progress | None = None
) -> Choice:
    """Return RUNTIME's, else the one in which this copy is already up, else what can run here."""
    local = LocalRuntime(environ, checkout, progress=progress)
    asked = environ.get("RUNTIME", "")
    if asked not in ("", "compose", "local"):
        raise StackError(f"RUNTIME={asked!r} is neither compose nor local", "make up RUNTIME=local")
    if asked:
        kind, reason = asked, f"RUNTIME={asked}"
    elif local.is_started():
        kind, reason = "local", "this copy runs as local processes"
    else:
        trouble = engine_trouble()
        kind = "local" if trouble else "compose"
        reason = trouble or "docker compose and an engine answer"
    if kind == "local":
        return Choice(local, kind, reason)
    return Choice(ComposeRuntime(environ, checkout, progress=progress), kind, reason)


def engine_trouble() -> str | None:
    """Return why containers cannot run here, or None when they can."""
    if shutil.which("docker") is None:
        return "there is no docker command here"
    for command, trouble in (
        (["docker", "compose", "version"], "docker has no compose plugin"),
        (["docker", "version", "--format", "{{.Server.Version}}"], "no container engine answers"),
    ):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
            )
        except (subprocess.TimeoutExpired, OSError):
            return f"`{' '.join(command[:2])}` does not answer"
        if done.returncode != 0:
            return trouble
    return None
