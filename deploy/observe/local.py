"""Prometheus and its exporters as local processes, beside a stack of local processes.

They are the programs and files of compose.yml. Only the addresses differ.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from stack import ports, programs
from stack.address import public_address
from stack.choose import running
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.local.state import State

HERE = Path(__file__).parent
# By program: Debian's package.
PACKAGES = {
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-nginx-exporter": "prometheus-nginx-exporter",
    "prometheus-redis-exporter": "prometheus-redis-exporter",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "mtail": "mtail",
}
START_TIMEOUT_S = 30.0


def missing() -> list[str]:
    """Return the programs that this machine does not have."""
    return [program for program in PACKAGES if programs.which(program) is None]


def observe(environ: Mapping[str, str]) -> int:
    """Watch the running local stack until Ctrl-C. PROMETHEUS_PORT and ALERTMANAGER_PORT are obeyed.

    Raises StackError for a stack in containers, and if a program is missing or ends.
    """
    stack = running(environ)
    if not isinstance(stack, LocalRuntime):
        raise StackError(
            f"{stack.name} runs in containers",
            "write COMPOSE_FILE=docker-compose.yml:deploy/observe/compose.yml into .env "
            "(with STACK_TLS=on, docker-compose.tls.yml in between), then make up",
        )
    named = {
        name: int(environ.get(variable) or default)
        for name, variable, default in (
            ("prometheus", "PROMETHEUS_PORT", "9090"),
            ("alertmanager", "ALERTMANAGER_PORT", "9093"),
        )
    }
    with observing(stack, named) as watched:
        print(f"Prometheus: {watched.address}  (Ctrl-C ends it; data stay in {watched.folder})")
        while not (ended := watched.ended()):
            time.sleep(1)
    raise StackError(f"{ended} has ended", f"its log is {watched.folder / ended}.log")


@dataclass(frozen=True)
class Observed:
    """The running programs. *folder* has their data, files and logs."""

    folder: Path
    address: str
    processes: Mapping[str, subprocess.Popen[bytes]]

    def ended(self) -> str:
        """Return the name of a program that has ended, or nothing."""
        return next((name for name, one in self.processes.items() if one.poll() is not None), "")

    def api(self, path: str) -> Any:
        """Return the data of an answer of Prometheus's API. Raises OSError."""
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}", timeout=10) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        result = self.api(f"query?query={quote(expression)}")["result"]
        return cast("list[dict[str, Any]]", result)


@contextmanager
def observing(
    stack: LocalRuntime, named: Mapping[str, int] | None = None, *, interval: str = "15s"
) -> Iterator[Observed]:
    """Run all programs for the running *stack*. *named* has ports that are not chosen freely.

    *interval* is Prometheus's, such as 1s. Raises StackError.
    """
    if absent := missing():
        packages = " ".join(PACKAGES[program] for program in absent)
        raise StackError(
            f"missing: {', '.join(absent)}",
            f"Debian, Ubuntu: apt-get install --no-install-recommends {packages}",
        )
    state = State.load(stack.run_dir / "state.json")
    if state is None:
        raise StackError(f"the stack {stack.name} is not up", "make up")
    folder = stack.run_dir / "observe"
    folder.mkdir(exist_ok=True)
    names = (
        "prometheus", "alertmanager", "mtail", "nginx-exporter", "redis-exporter", "blackbox"
    )  # fmt: skip
    at = {name: f"127.0.0.1:{(named or {}).get(name) or ports.free()}" for name in names}
    write_configuration(folder, state, at, interval)
    commands = _commands(folder, stack.run_dir, state, at)
    password = (stack.run_dir / "secrets/redis-password").read_text(encoding="ascii")
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            environ = {**os.environ, "PATH": programs.SEARCH_PATH}
            if name == "redis-exporter":
                environ["REDIS_PASSWORD"] = password.strip()
            with (folder / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    command, stdout=log, stderr=log, env=environ, cwd=folder
                )
        observed = Observed(folder, f"http://{at['prometheus']}", processes)
        _wait_until_ready(observed)
        yield observed
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(observed: Observed) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        if ended := observed.ended():
            log = (observed.folder / f"{ended}.log").read_text(errors="replace")
            raise StackError(
                f"{ended} does not start", "the end of its log is above", log=log[-2000:]
            )
        with suppress(OSError):
            urllib.request.urlopen(f"{observed.address}/-/ready", timeout=2).close()  # noqa: S310
            return
        if time.monotonic() > deadline:
            raise StackError(f"Prometheus is not ready after {START_TIMEOUT_S:.0f} s")
        time.sleep(0.1)


def _commands(
    folder: Path, run_dir: Path, state: State, at: Mapping[str, str]
) -> dict[str, list[str]]:
    host, _, mtail_port = at["mtail"].partition(":")
    return {
        "mtail": [
            "mtail", "--progs", f"{HERE}/nginx.mtail", "--logs", f"{run_dir}/logs/nginx.log",
            "--address", host, "--port", mtail_port, "--logtostderr",
        ],
        "nginx-exporter": [
            "prometheus-nginx-exporter",
            f"--nginx.scrape-uri=http://127.0.0.1:{state.ports['status']}/status",
            f"--web.listen-address={at['nginx-exporter']}",
        ],
        "redis-exporter": [
            "prometheus-redis-exporter", f"--redis.addr=unix://{state.run}/redis.sock",
            "--redis.user=monitor", "--config-command=-", "--set-client-name=false",
            "--connection-timeout=2s",
            f"--web.listen-address={at['redis-exporter']}",
        ],
        "blackbox": [
            "prometheus-blackbox-exporter", f"--config.file={HERE}/blackbox.yml",
            f"--web.listen-address={at['blackbox']}",
        ],
        "alertmanager": [
            "prometheus-alertmanager", f"--config.file={HERE}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager", "--cluster.listen-address=",
            f"--web.listen-address={at['alertmanager']}",
        ],
        "prometheus": [
            "prometheus", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/prometheus", "--storage.tsdb.retention.time=30d",
            "--storage.tsdb.retention.size=2GB", f"--web.listen-address={at['prometheus']}",
        ],
    }  # fmt: skip


def write_configuration(folder: Path, state: State, at: Mapping[str, str], interval: str) -> None:
    """Write prometheus.yml with the addresses of local processes; alerts.yml is beside it."""
    tls = public_address({**state.toggles, "STACK_TLS": "on", "STACK_PREFIX": ""})
    addresses = {
        "alertmanager:9093": at["alertmanager"],
        "mtail:3903": at["mtail"],
        "nginx-exporter:9113": at["nginx-exporter"],
        "redis-exporter:9121": at["redis-exporter"],
        "blackbox:9115": at["blackbox"],
        "nginx:8081": f"127.0.0.1:{state.ports['status']}",
        "nginx:8443": tls.removeprefix("https://"),
    }
    text = (HERE / "prometheus.yml").read_text(encoding="utf-8")
    acme = state.toggles["STACK_TLS"] == "on" and state.toggles["STACK_ACME"]
    found_by_name = {
        "app": [f"127.0.0.1:{state.ports['metrics']}"],
        "certificates": [f"127.0.0.1:{state.ports['certificates']}"] if acme else [],
    }
    text = re.sub(
        r"dns_sd_configs: \[\{names: \[(\w+)\].*",
        lambda found: f"static_configs: [{{targets: {json.dumps(found_by_name[found[1]])}}}]",
        text,
    )
    text = re.sub(r'"(\w[\w-]*:\d+)"', lambda found: f'"{addresses.get(found[1], found[1])}"', text)
    text = text.replace("_interval: 15s", f"_interval: {interval}")
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")
    (folder / "alerts.yml").write_bytes((HERE / "alerts.yml").read_bytes())
