"""`make deploy`: replaces what runs by a new version, beside it, and goes back if that fails."""

from __future__ import annotations

from collections.abc import Mapping

from operate import deploy_containers, deploy_processes
from operate.one_at_a_time import one_at_a_time
from stack.choose import choose
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from toggles import TOGGLES


def deploy(environ: Mapping[str, str]) -> int:
    progress = Progress.to_terminal()
    # As `make up` does: Compose compares the settings.
    environ = {"STACK_BIND": TOGGLES["STACK_BIND"].default, **environ}
    runtime, _ = choose(environ, progress)
    if not runtime.is_up():
        raise StackError(f"the stack {runtime.name} is not up", "make up")
    with runtime.changing(alone=True), one_at_a_time(runtime):
        if isinstance(runtime, ComposeRuntime):
            later = environ.get("NGINX") == "later"
            deploy_containers.deploy(runtime, progress, nginx_later=later)
        elif isinstance(runtime, LocalRuntime):
            deploy_processes.deploy(runtime, progress)
    print(f"\nThe stack is up: {runtime.address()}")
    return 0
