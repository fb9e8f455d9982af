"""docker-compose.yml grants each service only what it needs.

The rules are applied to what Compose itself makes of the file. A second test takes every rule's
subject away and sees the rule object, so that none of them passes for the wrong reason.
"""

import copy
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import configuration

pytestmark = pytest.mark.containers

Service = dict[str, Any]
SERVICES = ("nginx", "app", "redis")
# No limit is the default: an engine refuses more CPUs than the machine has.
CPUS = {f"{service}_CPUS": "0.5" for service in ("NGINX", "APP", "REDIS", "LOADTEST")}


@cache
def _rendered(**settings: str) -> dict[str, Any]:
    return configuration(ComposeRuntime({"STACK_NAME": "policy", **CPUS, **settings}))


def config(**settings: str) -> dict[str, Any]:
    return copy.deepcopy(_rendered(**settings))


def tmpfs_is_tight(service: Service) -> bool:
    mounts = service.get("tmpfs") or []
    return bool(mounts) and all(
        {"noexec", "nosuid", "nodev"} <= set(m.split(":")[1].split(",")) and "size=" in m
        for m in mounts
    )


def logs_are_rotated(service: Service) -> bool:
    options = service.get("logging", {}).get("options", {})
    return {"max-size", "max-file"} <= options.keys()


RULES: dict[str, Callable[[Service], bool]] = {
    "the root is read-only": lambda s: s.get("read_only") is True,
    "what can be written is a small tmpfs without programs": tmpfs_is_tight,
    "no capability is left": lambda s: s.get("cap_drop") == ["ALL"] and not s.get("cap_add"),
    "no program gains privileges": lambda s: "no-new-privileges:true" in s.get("security_opt", []),
    "processes are counted": lambda s: 0 < s.get("pids_limit", 0) <= 1024,
    "CPU time is limited": lambda s: float(s.get("cpus", 0)) > 0,
    "memory is limited": lambda s: 0 < int(s.get("mem_limit", 0)) <= 1 << 30,
    "open files are limited": lambda s: "nofile" in s.get("ulimits", {}),
    "logs are rotated": logs_are_rotated,
    "a stop has time to finish": lambda s: "stop_grace_period" in s,
    "it comes back after a crash": lambda s: (
        s.get("restart") == "unless-stopped" or "loadtest" in s.get("profiles", [])
    ),
    "it is on networks of its own": lambda s: "default" not in s.get("networks", {"default": None}),
}
# Settings that must be absent, each with a value that would be a vulnerability.
HOLES: dict[str, object] = {
    "privileged": True,
    "network_mode": "host",
    "pid": "host",
    "ipc": "host",
    "userns_mode": "host",
    "cap_add": ["NET_ADMIN"],
    "devices": [{"source": "/dev/sda", "target": "/dev/sda", "permissions": "rwm"}],
}
SUBJECTS = {
    "the root is read-only": "read_only",
    "what can be written is a small tmpfs without programs": "tmpfs",
    "no capability is left": "cap_drop",
    "no program gains privileges": "security_opt",
    "processes are counted": "pids_limit",
    "CPU time is limited": "cpus",
    "memory is limited": "mem_limit",
    "open files are limited": "ulimits",
    "logs are rotated": "logging",
    "a stop has time to finish": "stop_grace_period",
    "it comes back after a crash": "restart",
    "it is on networks of its own": "networks",
}


def faults(rendered: dict[str, Any]) -> set[str]:
    """Return every rule that the rendered file breaks."""
    found = set()
    for name, service in rendered["services"].items():
        found |= {f"{name}: {rule}" for rule, holds in RULES.items() if not holds(service)}
        found |= {f"{name}: {hole} is set" for hole in HOLES if service.get(hole)}
        found |= {f"{name}: {fault}" for fault in ways_in(name, service)}
        found |= {f"{name}: {fault}" for fault in secrets_in_the_open(service)}
    for name in ("front", "data"):
        if not rendered["networks"].get(name, {}).get("internal"):
            found.add(f"the network {name} has a way out")
    for name, expected in (("redis", {"data"}), ("app", {"front", "data"})):
        if set(rendered["services"][name].get("networks", {})) != expected:
            found.add(f"{name}: is on other networks than {sorted(expected)}")
    return found


def ways_in(name: str, service: Service) -> Iterator[str]:
    for mount in service.get("volumes", []):
        project = mount.get("target") == "/srv/project/secrets" and mount.get("read_only")
        if mount["type"] != "volume" and not project:
            yield f"{mount['source']} of the host is mounted"
    for port in service.get("ports", []):
        if name not in {"nginx", "loadtest"}:
            yield f"port {port['target']} is published"
        if port.get("host_ip") != "127.0.0.1":
            yield f"port {port['target']} is published beyond this machine"


def secrets_in_the_open(service: Service) -> Iterator[str]:
    for variable, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET|KEY|TOKEN", variable) and not re.search(
            "_(FILE|MODE)$", variable
        ):
            yield f"the secret {variable} is in the environment"
        if re.search(r"://[^/]*:[^/]*@", value or ""):
            yield f"{variable} holds a password"


@pytest.mark.parametrize("tls", ["off", "on"])
def test_no_rule_is_broken(tls: str) -> None:
    configuration = config(STACK_TLS=tls)
    assert set(SERVICES) <= configuration["services"].keys()
    assert faults(configuration) == set()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_sees_its_subject_gone(rule: str, service: str) -> None:
    configuration = config()
    del configuration["services"][service][SUBJECTS[rule]]
    assert f"{service}: {rule}" in faults(configuration)


def test_cpu_time_has_no_limit_unless_it_is_set() -> None:
    unset = config(**dict.fromkeys(CPUS, "0"))["services"]
    assert [name for name, service in unset.items() if float(service.get("cpus", 0))] == []


@pytest.mark.parametrize("hole", HOLES)
def test_every_hole_is_seen(hole: str) -> None:
    configuration = config()
    configuration["services"]["app"][hole] = copy.deepcopy(HOLES[hole])
    assert f"app: {hole} is set" in faults(configuration)


def test_published_ports_mounts_secrets_and_networks_are_seen() -> None:
    configuration = config()
    services = configuration["services"]
    services["redis"]["ports"] = [{"target": 6379, "host_ip": "0.0.0.0"}]
    services["app"]["volumes"].append({"type": "bind", "source": "/etc", "target": "/host"})
    services["app"]["environment"]["REDIS_PASSWORD"] = "hunter2"
    services["app"]["environment"]["REDIS_URL"] = "redis://app:hunter2@redis:6379/0"
    services["redis"]["networks"]["edge"] = None
    configuration["networks"]["data"]["internal"] = False
    assert faults(configuration) == {
        "redis: port 6379 is published",
        "redis: port 6379 is published beyond this machine",
        "app: /etc of the host is mounted",
        "app: the secret REDIS_PASSWORD is in the environment",
        "app: REDIS_URL holds a password",
        "redis: is on other networks than ['data']",
        "the network data has a way out",
    }
