"""Turns what `docker compose config` prints into a file for `docker stack deploy`.

Both read Compose files, but `docker stack deploy` follows an older schema and a Swarm has no
counterpart for some options. A service option is converted, left out on purpose (LEFT_OUT says
why), or refused: none is lost unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack.errors import StackError

SERVICES = ("nginx", "app", "redis")
# Same meaning and form in both.
_KEPT = frozenset(
    (
        "image",
        "environment",
        "command",
        "entrypoint",
        "read_only",
        "cap_drop",
        "logging",
        "stop_grace_period",
        "ulimits",
        "sysctls",
    )
)
LEFT_OUT: Mapping[str, str] = {
    "build": "a Swarm only runs images",
    "depends_on": "tasks start in any order; nginx and the app wait for what is not there yet",
    "restart": "deploy.restart_policy stands for it",
    "security_opt": "no form for it: set no-new-privileges in /etc/docker/daemon.json of each node",
    "group_add": "no form for it: secrets belong to the user of the service",
}
# Volumes whose content is the same on every node. Secrets of the Swarm and TCP stand for them.
_REPLACED_VOLUMES = frozenset({"app_secret", "redis_secret", "app_socket"})


@dataclass(frozen=True)
class Secret:
    """A secret of the Swarm: its full *name* there, and the file that a service reads."""

    name: str
    service: str
    target: str


USERS = {"app": "10001", "redis": "10002", "nginx": "10003"}
# A service's label: the hash of what was deployed. A service that was returned has the one before.
DEPLOYED = "stack.deployed"


def convert(config: Mapping[str, Any], secrets: Sequence[Secret]) -> dict[str, Any]:
    """Return the stack file for *config*, the output of `docker compose config --format json`.

    Raises StackError for an option that this module does not know.
    """
    services = {
        name: _service(name, config["services"][name], [s for s in secrets if s.service == name])
        for name in SERVICES
    }
    volumes = {
        mount["source"]
        for service in services.values()
        for mount in service["volumes"]
        if mount["type"] == "volume"
    }
    networks = {name for service in services.values() for name in service["networks"]}
    return {
        "version": "3.9",
        "services": services,
        "networks": {
            name: {"driver": "overlay", "internal": config["networks"][name].get("internal", False)}
            for name in sorted(networks)
        },
        "volumes": {name: {} for name in sorted(volumes)},
        "secrets": {secret.name: {"external": True} for secret in secrets},
    }


def _service(name: str, source: Mapping[str, Any], secrets: Sequence[Secret]) -> dict[str, Any]:
    service: dict[str, Any] = {"volumes": []}
    deploy: dict[str, Any] = dict(source.get("deploy") or {})
    limits: dict[str, Any] = dict((deploy.get("resources") or {}).get("limits") or {})
    for option, value in source.items():
        if option in LEFT_OUT or option == "deploy" or value is None:
            continue
        if option in _KEPT:
            service[option] = value
        elif option == "mem_limit":
            limits["memory"] = str(value)
        elif option == "cpus":
            limits["cpus"] = str(value)
        elif option == "pids_limit":
            limits["pids"] = value
        elif option == "tmpfs":
            service["volumes"] += [_tmpfs(mount) for mount in value]
        elif option == "volumes":
            service["volumes"] += _volumes(name, value)
        elif option == "ports":
            service["ports"] = [_port(port) for port in value]
        elif option == "networks":
            service["networks"] = sorted(value)
        else:
            raise StackError(
                f"service {name}: no rule says what `{option}` becomes in a Swarm",
                "remove it from the Compose file, or add a rule to deploy/swarm/convert.py",
            )
    # A variable without a value is one that is not set.
    service["environment"] = {
        variable: value
        for variable, value in service.get("environment", {}).items()
        if value is not None
    }
    service["secrets"] = [
        {
            "source": s.name,
            "target": s.target,
            "uid": USERS[name],
            "gid": USERS[name],
            "mode": 0o400,
        }
        for s in secrets
    ]
    deploy["resources"] = {**(deploy.get("resources") or {}), "limits": limits}
    service["deploy"] = deploy
    digest = hashlib.sha256(json.dumps(service, sort_keys=True).encode()).hexdigest()
    deploy["labels"] = {**(deploy.get("labels") or {}), DEPLOYED: digest}
    return service


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    # Without host_ip: a Swarm publishes on every address.
    return {
        "target": int(port["target"]),
        "published": int(port["published"]),
        "protocol": port.get("protocol", "tcp"),
        "mode": port.get("mode", "ingress"),
    }


def _tmpfs(mount: str) -> dict[str, Any]:
    """The engine mounts each tmpfs with noexec, nosuid, nodev and mode 1777."""
    target, _, options = mount.partition(":")
    sizes = [option.removeprefix("size=") for option in options.split(",") if "size=" in option]
    if len(sizes) != 1:
        raise StackError(f"tmpfs {mount}: has no size", "add size=… to its options")
    return {"type": "tmpfs", "target": target, "tmpfs": {"size": _bytes(sizes[0])}}


def _bytes(size: str) -> int:
    number, unit = size.rstrip("kmgKMG"), size.lstrip("0123456789").lower()
    factors = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    if not number.isdigit() or unit not in factors:
        raise StackError(f"size {size} of a tmpfs", "must be like 64m")
    return int(number) * factors[unit]


def _volumes(service: str, mounts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    kept = []
    for mount in mounts:
        if mount["type"] == "volume":
            if mount["source"] not in _REPLACED_VOLUMES:
                kept.append({key: mount[key] for key in ("type", "source", "target")})
        # Its files are secrets of the Swarm.
        elif mount["target"] != "/srv/project/secrets":
            raise StackError(
                f"service {service}: {mount['source']} is a path of this machine",
                "other nodes do not have it; bring it into the image, a secret or a volume",
            )
    return kept
