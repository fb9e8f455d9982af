"""Questions to the engine itself, which the runtime under test does not answer."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from ipaddress import ip_network
from typing import Any

from stack.compose.runtime import ComposeRuntime
from tests.servers.containers import NAME

SECRETS = {"redis": "/secrets/redis/password", "app": "/secrets/app/secret_key"}
RESTRICTIONS = ("Uid", "CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")


def docker(*arguments: str) -> str:
    finished = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert finished.returncode == 0, f"docker {arguments[0]}: {finished.stderr}"
    return finished.stdout


def gateway() -> str:
    """Return the address of this machine on the default network."""
    (bridge,) = json.loads(docker("network", "inspect", "bridge"))
    config = bridge["IPAM"]["Config"][0]
    # Some engines name a gateway only if it was configured. Otherwise it is the first address.
    return config.get("Gateway") or str(next(ip_network(config["Subnet"]).hosts()))


def inspect(stack: ComposeRuntime, service: str) -> dict[str, Any]:
    return json.loads(docker("inspect", stack.containers()[service].id))[0]


def execute(stack: ComposeRuntime, service: str, script: str) -> str:
    """Run a shell script in the container of the service, as the user of the service."""
    return docker("exec", stack.containers()[service].id, "sh", "-c", script)


def of_each_process(file: str) -> str:
    """Return a script that prints /proc/PID/*file* of all processes that it sees.

    A process may end before its file is read, such as a health check. Any other fault ends the
    script with 1.
    """
    read = f'cat "$process/{file}" || [ ! -d "$process" ] || exit 1'
    return f"for process in /proc/[0-9]*; do {read}; done"


def restrictions(statuses: str) -> dict[str, set[str]]:
    """Return each restriction's values in *statuses*, a container's /proc/PID/status files.

    The engine is root until it becomes the program that it starts in the container, such as a
    health check. Such a process has no parent there and is left out. The first process has none
    either, and counts.
    """
    found: dict[str, set[str]] = {name: set() for name in RESTRICTIONS}
    for status in re.split(r"^(?=Name:)", statuses, flags=re.MULTILINE)[1:]:
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if fields["Pid"] == "1" or fields["PPid"] != "0":
            for name, values in found.items():
                values.add(fields[name])
    return found


def metrics(stack: ComposeRuntime) -> str:
    """Return the exporter's Prometheus text."""
    ask = "from urllib.request import urlopen; "
    ask += "print(urlopen('http://127.0.0.1:9101/metrics', timeout=5).read().decode())"
    return stack.compose("exec", "-T", "app", "python3", "-c", ask)


def secret_of(stack: ComposeRuntime, service: str) -> str:
    return execute(stack, service, f"cat {SECRETS[service]}").strip()


def configuration(stack: ComposeRuntime) -> dict[str, Any]:
    """Return the Compose file with its variables filled in and all profiles enabled."""
    return json.loads(stack.compose("--profile", "*", "config", "--format", "json"))


@cache
def image_of(service: str) -> str:
    """Return the image that the `stack` fixture has built."""
    runtime = ComposeRuntime({"IMAGE_NAME": NAME})
    return configuration(runtime)["services"][service]["image"]


def remaining(stack: ComposeRuntime) -> list[str]:
    """Return the containers, networks and volumes with the name of this copy."""
    mine = f"label=com.docker.compose.project={stack.name}"
    kinds = {"container": ["--all"], "network": [], "volume": []}
    return [
        f"{kind} {found}"
        for kind, more in kinds.items()
        for found in docker(kind, "ls", "--quiet", *more, "--filter", mine).split()
    ]
