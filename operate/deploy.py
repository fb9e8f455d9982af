"""`make deploy`: replaces what runs by a new version, beside it, and goes back if that fails."""

from __future__ import annotations

from collections.abc import Mapping

from operate import deploy_containers, deploy_processes
from operate.accounts import in_a_database
from operate.one_at_a_time import one_at_a_time
from stack.choose import choose
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.runtime import Runtime
from toggles import TOGGLES


def deploy(environ: Mapping[str, str]) -> int:
    progress = Progress.to_terminal()
    # As `make up` does: Compose compares the settings.
    environ = {"STACK_BIND": TOGGLES["STACK_BIND"].default, **environ}
    runtime, _ = choose(environ, progress)
    runtime.require_up()
    _refuse_to_leave_accounts(runtime)
    with runtime.changing(alone=True), one_at_a_time(runtime):
        replace_app(runtime, progress, nginx_later=environ.get("NGINX") == "later")
    print(f"\nThe stack is up: {runtime.address()}")
    return 0


def replace_app(runtime: Runtime, progress: Progress, *, nginx_later: bool = False) -> None:
    """Raises StackError if the new version does not serve; the old one then still does."""
    if isinstance(runtime, ComposeRuntime):
        deploy_containers.deploy(runtime, progress, nginx_later=nginx_later)
    elif isinstance(runtime, LocalRuntime):
        deploy_processes.deploy(runtime, progress)


def _refuse_to_leave_accounts(runtime: Runtime) -> None:
    running, wanted = runtime.running_toggles(), runtime.toggles
    if isinstance(runtime, LocalRuntime):
        # A setting that is no more in .env stays as it was.
        wanted = {**running, **runtime.changed()}
    if in_a_database(running) != in_a_database(wanted):
        here, there = ("a database", "Redis") if in_a_database(running) else ("Redis", "a database")
        raise StackError(
            f"the accounts are in {here}, and the new version would look for them in {there}",
            f"`make accounts-move` takes them to {there}; with COPY=no they stay",
        )
