"""The commands behind the Makefile's targets."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

from stack import dev, jobs, project
from stack.checkout import CHECKOUT
from stack.choose import choose, remember, running
from stack.commands import Command
from stack.errors import StackError
from stack.progress import Progress
from stack.runtime import ServiceStatus, shown
from toggles import TOGGLES
from toggles.demo import DEMO_NAME, DEMO_PASSWORD


def up(environ: Mapping[str, str]) -> int:
    # As docker-compose.yml does: see toggles.demo.by_default.
    environ = {"STACK_BIND": TOGGLES["STACK_BIND"].default, **environ}
    if environ.get("STACK_PORT") == "0":  # for tests: other commands do not find such a stack
        raise StackError("STACK_PORT=0 is not from 1 to 65535", "make up STACK_PORT=8081")
    runtime, reason = choose(environ, Progress.to_terminal())
    # The next commands need the variables of this one's command line again.
    given = "".join(f" {k}={os.environ[k]}" for k in ("STACK_NAME", "RUNTIME") if k in os.environ)
    if lost := project.strays(CHECKOUT, environ):
        print(f"Not used: {', '.join(lost)} in .env. Your app's belong in {project.VARIABLES}.")
    if runtime.is_up():
        print(f"The stack is up already: {runtime.address()} ({runtime.kind})")
        now = runtime.running_toggles()
        if changed := {k: v for k, v in runtime.toggles.items() if now.get(k) != v}:
            print(f"  not applied: {shown(changed)}; `make down up{given}` applies it")
        file = CHECKOUT / project.VARIABLES
        if file.exists() and file.stat().st_mtime > runtime.environment_read_at():
            how = "reload" if runtime.kind == "local" else "down up"
            print(f"  not applied: {project.VARIABLES} is newer; `make {how}{given}` applies it")
        return 0
    print(f"Runtime: {runtime.kind}, because {reason} (RUNTIME= overrides it).")
    runtime.up()
    remember(runtime)
    print(f"\nThe stack is up: {runtime.address()}")
    if runtime.toggles["STACK_DEMO"] == "on" and "STACK_APP" not in environ:
        print(f"  demo account: {DEMO_NAME}, password: {DEMO_PASSWORD}")
    # Where the app came from, why it is loaded lazily (uwsgi/serve.py), how many workers it has.
    said = r"^STACK_(?:APP=\S+ is in|LAZY_APPS=auto is on|PROCESSES=auto is).*"
    for line in dict.fromkeys(re.findall(said, runtime.log("app"), re.MULTILINE)):
        print(f"  {line}")
    print("\nNext:")
    for command, effect in (
        ("make status", "show the services and their state"),
        ("make loadtest PROFILE=smoke", "run a short load test"),
        ("make down", "stop it; data and secrets stay"),
    ):
        print(f"  {command + given:<{27 + len(given)}}  {effect}")
    return 0


def down(environ: Mapping[str, str]) -> int:
    # A setting that is not allowed prevents no stop.
    choose(jobs.named(environ), Progress.to_terminal())[0].down()
    print("The stack is down. Data and secrets are kept; `make clean` removes them.")
    return 0


def status(environ: Mapping[str, str]) -> int:
    runtime, _ = choose(environ)
    services = runtime.status()
    if not services:
        raise StackError(f"the stack {runtime.name} is not up", "make up")
    head = ("service", "pid" if runtime.kind == "local" else "container", "address", "state")
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
    runtime, _ = choose(environ, Progress.to_terminal())
    with runtime.changing():
        runtime.reload()
    return 0


def admin(environ: Mapping[str, str]) -> int:
    """Create the account NAME with the role admin; without a terminal, stdin has its password."""
    name = environ.get("NAME")
    if not name:
        raise StackError("NAME is missing", "make admin NAME=ada")
    more = [] if sys.stdin.isatty() else ["--password-stdin"]
    return running(environ).flask("user", "create", name, "--admin", *more)


def logs(environ: Mapping[str, str]) -> int:
    # Only a terminal follows; a pipe or a file gets the present content.
    return choose(environ)[0].logs(follow=sys.stdout.isatty())


def url(environ: Mapping[str, str]) -> int:
    print(running(environ).address())
    return 0


COMMANDS: dict[str, Command] = {
    "up": up,
    "down": down,
    "status": status,
    "logs": logs,
    "reload": reload,
    "url": url,
    "admin": admin,
    "dev": dev.run,
    "test": jobs.test,
    "lint": jobs.lint,
    "loadtest": jobs.loadtest,
    "pins": jobs.pins,
    "template-diff": jobs.template_diff,
    "clean": jobs.clean,
}
