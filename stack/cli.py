"""The commands behind the Makefile's targets."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from stack import dev, jobs
from stack.choose import Choice, choose
from stack.commands import Command
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.runtime import ServiceStatus
from toggles import TOGGLES
from toggles.demo import DEMO_NAME, DEMO_PASSWORD


def up(environ: Mapping[str, str]) -> int:
    progress = Progress.to_terminal()
    environ = _for_a_first_look(environ)
    choice = choose(environ, progress=progress)
    if choice.runtime.is_up():
        print(f"The stack is up already: {choice.runtime.address()} ({choice.kind})")
        _say_what_changed(choice)
        return 0
    print(f"Runtime: {choice.kind}, because {choice.reason}. RUNTIME=compose or local decides.")
    choice.runtime.up()
    progress.clear()
    print(f"\nThe stack is up: {choice.runtime.address()}")
    if environ.get("STACK_DEMO") == "on" and "STACK_APP" not in environ:
        print(f"  demo account: {DEMO_NAME}, password: {DEMO_PASSWORD}")
    print(
        "\nNext:\n"
        "  make status                  what runs, and how it is\n"
        "  make loadtest PROFILE=smoke  load it for a moment\n"
        "  make down                    stop it; data and secrets stay"
    )
    return 0


def _for_a_first_look(environ: Mapping[str, str]) -> dict[str, str]:
    """Without a word about STACK_DEMO there is a demo account, as long as only this machine can
    reach it: its password is public."""
    bind = environ.get("STACK_BIND", TOGGLES["STACK_BIND"].default)
    if "STACK_DEMO" in environ or not (bind.startswith("127.") or bind == "::1"):
        return dict(environ)
    return {**environ, "STACK_DEMO": "on"}


def _say_what_changed(choice: Choice) -> None:
    if not isinstance(choice.runtime, LocalRuntime):
        return
    running = choice.runtime.running_toggles()
    changed = [f"{k}={v}" for k, v in choice.runtime.toggles.items() if running.get(k) != v]
    if changed:
        print(f"  not in force: {', '.join(changed)}; `make down up` takes it over")


def down(environ: Mapping[str, str]) -> int:
    progress = Progress.to_terminal()
    runtime = choose(environ, progress=progress).runtime
    runtime.down()
    progress.clear()
    print("The stack is down. Data and secrets are kept; `make clean` removes them.")
    return 0


def status(environ: Mapping[str, str]) -> int:
    choice = choose(environ)
    services = choice.runtime.status()
    if not services:
        raise StackError(f"the stack {choice.runtime.name} is not up", "make up")
    head = ("service", "pid" if choice.kind == "local" else "container", "address", "state")
    rows = [(*head, "uptime", "memory"), *map(_row, services)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())
    return 0 if all(service.healthy for service in services) else 1


def _row(service: ServiceStatus) -> tuple[str, ...]:
    memory = service.memory_bytes
    return (
        service.service,
        service.id,
        service.address,
        "healthy" if service.healthy else "not healthy",
        "-" if service.uptime_s is None else duration(service.uptime_s),
        "-" if memory is None else f"{memory / 1e6:.1f} MB",
    )


def duration(seconds: float) -> str:
    """``93784`` → ``1 d 2 h``: the two largest units say enough."""
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min")]
    parts = [*parts, (whole % 60, "s")]
    first = next((i for i, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


def reload(environ: Mapping[str, str]) -> int:
    choose(environ, progress=Progress.to_terminal()).runtime.reload()
    return 0


def logs(environ: Mapping[str, str]) -> int:
    # A pipe or a file gets what there is; a terminal also gets what comes.
    return choose(environ).runtime.logs(follow=sys.stdout.isatty())


def url(environ: Mapping[str, str]) -> int:
    runtime = choose(environ).runtime
    if not runtime.is_up():
        raise StackError(f"the stack {runtime.name} is not up", "make up")
    print(runtime.address())
    return 0


COMMANDS: dict[str, Command] = {
    "up": up,
    "down": down,
    "status": status,
    "logs": logs,
    "reload": reload,
    "url": url,
    "dev": dev.run,
    "test": jobs.test,
    "lint": jobs.lint,
    "loadtest": jobs.loadtest,
    "pins": jobs.pins,
    "clean": jobs.clean,
}
