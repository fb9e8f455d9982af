"""Runs programs where the files of a service are: in its container, or beside its processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.programs import SEARCH_PATH
from stack.runtime import Runtime


def command(runtime: Runtime, service: str, *arguments: str) -> list[str]:
    """Return the command that runs *arguments* in the running *service*; see `environment`."""
    if isinstance(runtime, ComposeRuntime):
        return runtime.command("exec", "-T", service, *arguments)
    return [*arguments]


def beside_redis(runtime: Runtime, *arguments: str) -> list[str]:
    """Return the command that runs *arguments* with Redis's data, whether Redis runs or not.

    In containers that is a container of its own with a memory limit of its own.
    """
    if isinstance(runtime, ComposeRuntime):
        run = ("run", "--rm", "--no-deps", "-T", "--entrypoint", arguments[0], "redis")
        return runtime.command("--progress", "quiet", *run, *arguments[1:])
    return [*arguments]


def environment(runtime: Runtime) -> Mapping[str, str]:
    """Return the environment for these commands: locally it has what the entrypoints get."""
    if isinstance(runtime, ComposeRuntime):
        return runtime.environ
    assert isinstance(runtime, LocalRuntime)  # noqa: S101 - there are two runtimes
    if runtime.is_started():
        return runtime.service_environment()
    run = runtime.run_dir
    return {
        **os.environ,
        "PATH": SEARCH_PATH,
        "REDIS_DATA": f"{run}/data",
        "REDIS_LISTEN": f"{run}/redis.sock",
        "REDIS_PASSWORD_FILE": f"{run}/secrets/redis-password",
    }


def shell(
    runtime: Runtime, service: str, script: str, *arguments: str, given: bytes = b""
) -> bytes:
    """Run a script of `sh` in the running *service* with *given* as its input; return its output.

    Raises StackError with the script's messages if it fails.
    """
    words = command(runtime, service, "sh", "-c", script, "sh", *arguments)
    return output(runtime, words, f"a script in {service}", given)


def output(runtime: Runtime, words: list[str], what: str, given: bytes = b"") -> bytes:
    """Run a command from above and return its output. Raises StackError, which names *what*."""
    done = subprocess.run(
        words, env=environment(runtime), input=given, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise StackError(f"{what} failed", log=done.stderr.decode(errors="replace").strip())
    return done.stdout
