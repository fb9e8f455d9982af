"""A deploy of local processes: a reload that also applies new packages and settings of nginx's.

The running app may import a module at any time, so its packages must not change under it. Changed
pins are installed into a directory of their own, `run/<name>/venv-<n>/`, and the new app uses that
one. The next `make up` of a stopped copy uses .venv again.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from operate.undisturbed import undisturbed
from stack import processes
from stack.checkout import CHECKOUT
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.venv import SERVE, VirtualEnvironment

# The sockets are bound at the start.
FIXED = ("STACK_BIND", "STACK_PORT", "STACK_SOCKET", "STACK_TLS", "STACK_TLS_PORT")

# By service: what its process has read at its start, and a new master does not read.
READ_AT_START = {
    "app": [
        *(
            f"uwsgi/{name}"
            for name in (
                "entrypoint", "before_start.py", "connections.py", "cores.py", "generation.py",
                "listening.py", "master.py", "memory.py", "protocol.py", "secret_key.py", "swap.py",
            )
        ),
        *(
            f"toggles/{name}.py"
            for name in ("__init__", "checks", "demo", "environment", "table")
        ),
    ],
    "redis": ["redis/entrypoint", "redis/redis.conf"],
}  # fmt: skip


def deploy(stack: LocalRuntime, progress: Progress) -> None:
    """Raises StackError if the new version does not serve; the old one then still does."""
    changed = stack.changed()
    applied = {name: value for name, value in changed.items() if name not in FIXED}
    state = stack.state()
    present = Path(state.binaries).parent if state.binaries else None
    packages = VirtualEnvironment(CHECKOUT, progress, present)
    made = None
    try:
        if not packages.has(SERVE):
            made = _unused(stack.run_dir, present)
            packages = VirtualEnvironment(CHECKOUT, progress, made)
            packages.ensure(SERVE)
        stack.write_static_files()
        progress.step("checking nginx's configuration")
        _check_nginx(stack, applied)
        stack.swap(applied, packages.bin)
    except BaseException:
        if made:
            shutil.rmtree(made, ignore_errors=True)
        raise
    with undisturbed(progress, "the new version serves; the rest takes a moment"):
        stack.reload_nginx()
        left = {name: value for name, value in changed.items() if name in FIXED}
        stack.not_applied(left, "the sockets stay open")
        if newer := _newer_than_their_process(stack):
            progress.step(
                f"not applied: {', '.join(newer)} changed after the start; "
                "`make down up` applies it"
            )


def _unused(run_dir: Path, present: Path | None) -> Path:
    """Return a new directory for packages, and delete those of earlier deploys."""
    old = sorted(run_dir.glob("venv-*"))
    number = max((int(path.name.removeprefix("venv-")) for path in old), default=0) + 1
    for path in old:
        if path != present:
            shutil.rmtree(path, ignore_errors=True)
    return run_dir / f"venv-{number}"


def _check_nginx(stack: LocalRuntime, applied: dict[str, str]) -> None:
    """Test the configuration with the new settings, away from the one in use."""
    scratch = Path(stack.state().run, "nginx-check")
    try:
        environ = stack.service_environment() | applied
        stack.check_nginx({**environ, "NGINX_RUN": str(scratch)})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _newer_than_their_process(stack: LocalRuntime) -> list[str]:
    found = []
    for service, pid in stack.main_pids().items():
        process = processes.find(pid)
        started = time.time() - process.uptime_s if process else time.time()
        for name in READ_AT_START.get(service, []):
            file = CHECKOUT / name
            if file.exists() and file.stat().st_mtime > started:
                found.append(name)
    return found
