"""A copied checkout whose stack runs in containers, for the tests of commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stack.compose.runtime import ComposeRuntime
from tests.stack.checkouts import Commands


def runtime(commands: Commands) -> ComposeRuntime:
    settings = {k: v for k, v in commands.environ.items() if k.startswith("STACK_")}
    return ComposeRuntime({"STACK_BIND": "127.0.0.1", **settings}, commands.checkout)


@contextmanager
def up(commands: Commands) -> Iterator[Commands]:
    """Bring the copy up; at the end remove it with its data and images."""
    try:
        done = commands.make("up")
        assert done.returncode == 0, done.stdout + done.stderr
        yield commands
    finally:
        runtime(commands).down(volumes=True)
        runtime(commands).remove_images()
