"""The profile `loadtest` loads the stack from a container and exits with the verdict."""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import remaining

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def loadtest(stack: ComposeRuntime) -> Iterator[list[str]]:
    stack.compose("--profile", "loadtest", "build", "loadtest", timeout_s=600)
    smoke = ("SMOKE_SECONDS=6", "SMOKE_USERS=2", "SMOKE_P95_MS=10000")
    settings = [f"--env={name}" for name in smoke]
    yield [
        *stack.command("--profile", "loadtest", "run", "--rm", "--no-deps", "--no-TTY"),
        *settings,
        "loadtest",
    ]


def test_a_headless_run_keeps_every_threshold(stack: ComposeRuntime, loadtest: list[str]) -> None:
    done = subprocess.run(
        [*loadtest, "--profile=smoke"],
        env=stack.environ, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "smoke: every threshold kept" in done.stdout
    assert "http://nginx:8080" in done.stdout


def test_an_unknown_profile_is_refused(stack: ComposeRuntime, loadtest: list[str]) -> None:
    done = subprocess.run(
        [*loadtest, "--profile=smock"],
        env=stack.environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "did you mean smoke?" in done.stderr


def test_down_removes_it(another: Callable[..., ComposeRuntime], loadtest: list[str]) -> None:
    copy = another()
    copy.compose("--profile", "loadtest", "create", "--no-build")
    assert "loadtest" in copy.containers()
    copy.down(volumes=True)
    assert remaining(copy) == []
