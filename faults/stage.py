"""A copy of the stack with the app under test, and what a fault may do to it, in both runtimes."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from faults.users import ask
from stack import processes
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime, Container
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.runtime import Runtime

HARAKIRI_S = 5
DEPLOY_MOST_S = 240
SETTINGS = {
    "STACK_APP": "faults.app:create()",
    "STACK_PORT": "0",
    "STACK_HARAKIRI": str(HARAKIRI_S),
    # Users and attackers name their own addresses, as behind a balancer. Of a container's port the
    # client is the bridge.
    "STACK_TRUSTED_PROXIES": "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
}


class _Local(LocalRuntime):
    entrypoints = {**LocalRuntime.entrypoints, "redis": "faults/bin/redis-entrypoint"}  # noqa: RUF012


class Stage:
    """One copy. Start it by `with`; *kind* is the runtime, `local` or `compose`."""

    def __init__(
        self, kind: str, name: str, settings: Mapping[str, str], progress: Progress, *,
        small_disk: bool = False, clock: bool = False,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.progress = progress
        # Sentences about the fault that the figures of its users do not show.
        self.notes: list[str] = []
        self._disk = self._clock = Path(os.devnull)
        self._deploys = 0
        self._preload: dict[str, str] = {}
        given = {**SETTINGS, "STACK_NAME": name, **settings}
        if clock:
            self._clock = Path(tempfile.mkdtemp(prefix="faults-clock-"))
            self._clock.chmod(0o755)
            self.set_clock("0")
            library = self._clock / "clock.so"
            source = str(CHECKOUT / "faults" / "clock.c")
            _run("cc", "-shared", "-fPIC", "-O2", "-o", str(library), source)
            given["FAULTS_CLOCK"] = str(self._clock)
        if small_disk:
            self._disk = mount_small_disk()
            for folder in ("run", "redis", "app"):
                (self._disk / folder).mkdir()
                (self._disk / folder).chmod(0o777)
            given["FAULTS_DISK"] = str(self._disk)
        # What the commands of operate/ take for the copy's directory.
        self._link = CHECKOUT / "run" / name
        if kind == "local":
            if clock:
                # The services inherit this process's environment.
                self._preload = {
                    "LD_PRELOAD": str(library),
                    "FAULTS_CLOCK": str(self._clock / "offset"),
                }
                os.environ |= self._preload
            run = self._disk / "run" if small_disk else None
            local = _Local(given, run_dir=run, progress=progress)
            self._link.parent.mkdir(exist_ok=True)
            self._link.symlink_to(local.run_dir)
            self.runtime: Runtime = local
            self._environ = {}
        else:
            files = [CHECKOUT / "faults" / "compose.yml"]
            if clock:
                files.append(CHECKOUT / "faults" / "compose.clock.yml")
            if small_disk:
                files.append(CHECKOUT / "faults" / "compose.disk.yml")
            self.runtime = ComposeRuntime(given, progress=progress, files=files)
            names = [CHECKOUT / "docker-compose.yml", *files]
            relative = (str(file.relative_to(CHECKOUT)) for file in names)
            self._environ = {"COMPOSE_FILE": os.pathsep.join(relative)}
        ports = {port: self.runtime.toggles[port] for port in ("STACK_PORT", "STACK_TLS_PORT")}
        self._environ |= {**given, **ports, "RUNTIME": kind}
        self.address = ""

    def __enter__(self) -> Stage:
        try:
            self.runtime.up()
        except BaseException:
            self._leave()
            raise
        self.address = self.runtime.address()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        try:
            self.runtime.down(volumes=True)
            if isinstance(self.runtime, ComposeRuntime):
                self.runtime.remove_images()
        finally:
            if self._link.is_symlink():
                self._link.unlink()
            else:
                shutil.rmtree(self._link, ignore_errors=True)
            self._link.with_name(f"{self._link.name}.lock").unlink(missing_ok=True)
            if self._disk.is_dir():
                unmount_small_disk(self._disk)
            if self._clock.is_dir():
                shutil.rmtree(self._clock)
                for name in self._preload:
                    del os.environ[name]

    def entrance(self) -> str:
        """Return the address at which clients of other machines reach nginx.

        Clients of this machine reach a published port through the engine's docker-proxy. It ends
        when its own descriptors are used up, and the port is refused from then on.
        """
        if not isinstance(self.runtime, ComposeRuntime):
            return self.address
        networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        container = self.runtime.containers()["nginx"].id
        found = self.runtime.docker("inspect", f"--format={networks}", container).split()
        return f"http://{found[0]}:8080"

    # ── Look ────────────────────────────────────────────────────────────────────────────────────

    def main(self, service: str) -> int:
        """Return the pid, on this machine, of the process that was started for *service*.

        Raises StackError if it does not run: a signal to pid 0 would reach this process's group.
        """
        if isinstance(self.runtime, LocalRuntime):
            pid = self.runtime.main_pids()[service]
        else:
            pid = self._container(service).pid
        if pid == 0:
            raise StackError(f"{service} does not run")
        return pid

    def family(self, service: str) -> dict[int, str]:
        """Return the command line of each process of *service* by its pid."""
        lines = {}
        for process in processes.family(self.main(service)):
            try:
                text = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            lines[process.pid] = text.replace(b"\0", b" ").decode(errors="replace").strip()
        return lines

    def workers(self, service: str = "app") -> list[int]:
        """Return the pids of the processes that answer requests."""
        pattern = {"app": r"uWSGI worker", "nginx": r"nginx: worker process"}[service]
        return [pid for pid, line in self.family(service).items() if re.match(pattern, line)]

    def log(self, service: str) -> str:
        try:
            return self.runtime.log(service)
        except StackError:
            return ""

    def answers(self) -> bool:
        try:
            return ask(self.address, "/faults/mark", timeout=5)[0] == 200
        except (OSError, ValueError):
            return False

    def wait_until_it_answers(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.2)
        return False

    # ── Touch ───────────────────────────────────────────────────────────────────────────────────

    def redis(self, *command: str) -> str:
        """Run a command of Redis as the user `faults`. Raises StackError if it fails."""
        if isinstance(self.runtime, LocalRuntime):
            run = Path(self.runtime.state().run)
            password = (run / "secrets" / "redis-password").read_text(encoding="ascii").strip()
            where = ["redis-cli", "-s", str(run / "redis.sock"), "--user", "faults", *command]
            environ = {**os.environ, "REDISCLI_AUTH": password}
        else:
            script = 'REDISCLI_AUTH=$(cat "$REDIS_PASSWORD_FILE") exec redis-cli --user faults "$@"'
            where = [*self._exec("redis"), "sh", "-c", script, "redis-cli", *command]
            environ = dict(os.environ)
        done = subprocess.run(
            where, env=environ, capture_output=True, text=True, timeout=30, check=False
        )
        if done.returncode != 0 or re.match(r"(ERR|NOAUTH|NOPERM|WRONGPASS)\b", done.stdout):
            raise StackError(f"redis-cli {command[0]}: {(done.stdout + done.stderr).strip()}")
        return done.stdout.strip()

    def shell(self, service: str, script: str) -> str:
        """Run a script in the container of *service*, as its user."""
        return _run(*self._exec(service), "sh", "-c", script, check=False)

    def _exec(self, service: str) -> list[str]:
        return ["docker", "exec", self._container(service).id]

    def _container(self, service: str) -> Container:
        replicas = cast("ComposeRuntime", self.runtime).replicas()
        running = [container for container in replicas if container.state == "running"]
        found = {container.service: container for container in reversed(running)}
        if service not in found:
            raise StackError(f"{service} does not run")
        return found[service]

    def operate(self, command: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command of operate/ on this copy, in a process group of its own."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STACK_")}
        return subprocess.Popen(
            [sys.executable, "-m", "operate", command],
            cwd=CHECKOUT, env={**inherited, **self._environ, **variables}, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def wait_for_operate(self, seconds: float) -> bool:
        """Wait until no process holds the lock of operate/; return whether that happened."""
        deadline = time.monotonic() + seconds
        with (self._link / "operate.lock").open("a") as lock:
            while time.monotonic() < deadline:
                with suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                time.sleep(0.1)
        return False

    def deploy(self) -> None:
        """Run `make deploy`, with a setting of the app changed. Raises StackError if it fails."""
        self._deploys += 1
        self._environ["STACK_SESSION_ABSOLUTE"] = str(43200 + self._deploys)
        with self.operate("deploy") as deploy:
            said, _ = deploy.communicate(timeout=DEPLOY_MOST_S)
        if deploy.returncode != 0:
            raise StackError(why_it_was_refused(said), log=said)

    def set_clock(self, offset: str) -> None:
        """Let the clock of every service be wrong by *offset* seconds."""
        fresh = self._clock / "new"
        fresh.write_text(f"{offset}\n", encoding="ascii")
        fresh.replace(self._clock / "offset")

    @property
    def disk(self) -> Path:
        """The small disk of this copy."""
        return self._disk


def why_it_was_refused(said: str) -> str:
    """Return the reason in what a command of operate/ has said, below `make` or without it."""
    found = re.search(r"^(?:make|operate) \w+: (.+)$", said, re.MULTILINE)
    return found[1] if found else "it ended without a reason"


def mount_small_disk() -> Path:
    """Mount an ext4 of 48 MB in a file, as root; return where. Raises StackError if that fails."""
    where = Path(tempfile.mkdtemp(prefix="faults-"))
    image = where.with_suffix(".ext4")
    try:
        with image.open("wb") as file:
            file.truncate(48 << 20)
        _run("mkfs.ext4", "-q", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(where))
    except (StackError, OSError) as error:
        where.rmdir()
        image.unlink(missing_ok=True)
        raise StackError(f"a small disk cannot be mounted: {error}") from None
    where.chmod(0o755)
    return where


def unmount_small_disk(where: Path) -> None:
    _run("umount", "--lazy", str(where))
    where.rmdir()
    where.with_suffix(".ext4").unlink()


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if check and done.returncode != 0:
        raise StackError(f"`{' '.join(command[:3])}` failed: {done.stderr.strip()}")
    return done.stdout
