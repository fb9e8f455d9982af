"""The commands behind the Makefile's targets."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from stack import dev, jobs
from stack.choose import choose
from stack.commands import Command
from stack.errors import StackError
from stack.progress import Progress
from stack.runtime import Runtime, ServiceStatus
from toggles import TOGGLES
from toggles.demo import DEMO_NAME, DEMO_PASSWORD


def up(environ: Mapping[str, str]) -> int:
    progress = Progress.to_terminal()
    environ = _with_demo_default(environ)
    choice = choose(environ, progress=progress)
    if choice.runtime.is_up():
        print(f"The stack is up already: {choice.runtime.address()} ({choice.kind})")
        _print_unapplied(choice.runtime)
        return 0
    print(f"Runtime: {choice.kind}, because {choice.reason} (RUNTIME= overrides it).")
    choice.runtime.up()
    progress.clear()
    print(f"\nThe stack is up: {choice.runtime.address()}")
    if environ.get("STACK_DEMO") == "on" and "STACK_APP" not in environ:
        print(f"  demo account: {DEMO_NAME}, password: {DEMO_PASSWORD}")
    print(
        "\nNext:\n"
        "  make status                  show the services and their state\n"
        "  make loadtest PROFILE=smoke  run a short load test\n"
        "  make down                    stop it; data and secrets stay"
    )
    return 0


def _with_demo_default(environ: Mapping[str, str]) -> dict[str, str]:
    """Turn STACK_DEMO on where nothing sets it and only this machine can reach the stack.

    The demo account's password is public.
    """
    bind = environ.get("STACK_BIND", TOGGLES["STACK_BIND"].default)
    if "STACK_DEMO" in environ or not (bind.startswith("127.") or bind == "::1"):
        return dict(environ)
    return {**environ, "STACK_DEMO": "on"}


def _print_unapplied(runtime: Runtime) -> None:
    running = runtime.running_toggles()
    changed = [f"{k}={v}" for k, v in runtime.toggles.items() if running.get(k) != v]
    if changed:
        print(f"  not applied: {', '.join(changed)}; `make down up` applies it")


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
    """``93784`` → ``1 d 2 h``: the two largest units."""
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min")]
    parts = [*parts, (whole % 60, "s")]
    first = next((i for i, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


def reload(environ: Mapping[str, str]) -> int:
    choose(environ, progress=Progress.to_terminal()).runtime.reload()
    return 0


def logs(environ: Mapping[str, str]) -> int:
    # Only a terminal follows; a pipe or a file gets the present content.
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
    "template-diff": jobs.template_diff,
    "clean": jobs.clean,
}
