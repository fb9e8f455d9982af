"""One stack in containers for all tests of a run: its images are built once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stack.compose.runtime import ComposeRuntime
from stack.progress import Progress

NAME = f"stack-test-{os.getpid()}"


@pytest.fixture(scope="session")
def stack() -> Iterator[ComposeRuntime]:
    """The stack as it ships, with the demo account and the workload pages.

    A test leaves it as it was.
    """
    runtime = ComposeRuntime(
        {
            "STACK_NAME": NAME,
            "IMAGE_NAME": NAME,
            "STACK_PORT": "0",
            "STACK_DEMO": "on",
            "STACK_WORKLOAD": "on",
            "STACK_LOGIN_RATE": "0",
        },
        progress=Progress.to_terminal(),
    )
    try:
        runtime.up()
        yield runtime
    finally:
        runtime.down(volumes=True)
        runtime.remove_images()


@pytest.fixture
def another(stack: ComposeRuntime) -> Iterator[Callable[..., ComposeRuntime]]:
    """Make further copies, with other settings, that a test may break. They end with the test."""
    made: list[ComposeRuntime] = []

    def make(*, files: Sequence[Path] = (), **settings: str) -> ComposeRuntime:
        own = {"STACK_NAME": f"{NAME}-{len(made)}", "STACK_PORT": "0", "IMAGE_NAME": NAME}
        runtime = ComposeRuntime({**own, **settings}, files=files)
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        runtime.down(volumes=True)
