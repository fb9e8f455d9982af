"""Deploys to a Swarm that exists, through the `docker` command."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.swarm.convert import DEPLOYED, SERVICES, Secret, convert
from deploy.swarm.progress import Progress, progress
from stack.checkout import CHECKOUT
from stack.errors import StackError
from toggles import ToggleError
from toggles import read as read_toggles

_HERE = Path(__file__).parent
# Created once, and then kept by the Swarm only. By name: the service and the file that it reads.
_CREATED = {
    "redis_password": (("redis", "/secrets/redis/password"), ("app", "/secrets/redis/password")),
    "secret_key": (("app", "/secrets/app/secret_key"),),
}

_LOOK_SECONDS = 1.0
# A node may pull an image for so long.
_STUCK_SECONDS = 600.0
# Managers choose a new leader within this time, when theirs is lost, and answer nothing until then.
_LEADER_SECONDS = 60.0
# Above every stop_grace_period.
_STOP_SECONDS = 120.0


def up(environ: Mapping[str, str]) -> int:
    """Deploy, or update what is deployed; return when the update is complete.

    Raises StackError if there is no Swarm, a node cannot get an image, or the update was undone.
    """
    nodes = _nodes(environ)
    settings = _settings(environ)
    config = _config(settings)
    name = str(config["name"])
    _check_images(settings, config, nodes)
    _check_place_of_redis(settings, nodes)
    stack_file = convert(config, _secrets(settings, name))
    _docker(
        settings,
        # Nodes pull with the login that `docker login` left on this machine.
        *("stack", "deploy", "--prune", "--resolve-image=never", "--with-registry-auth"),
        *("--compose-file=-", name),
        given=json.dumps(stack_file),
    )
    for service in SERVICES:
        print(f"waiting for {name}_{service}", flush=True)
        deployed = stack_file["services"][service]["deploy"]["labels"][DEPLOYED]
        _wait(settings, f"{name}_{service}", deployed)
    port = stack_file["services"]["nginx"]["ports"][0]["published"]
    print(f"{name} answers at port {port} of the nodes")
    return 0


def down(environ: Mapping[str, str]) -> int:
    """Remove services and networks, and return when they are gone; volumes and secrets stay.

    Raises StackError if the networks stay, because a task does not end.
    """
    name = _name(environ)
    _nodes(environ)
    _docker(environ, "stack", "rm", name)
    # A network goes after its last task, and the next swarm-up would find it half removed.
    mine = f"--filter=label=com.docker.stack.namespace={name}"
    deadline = time.monotonic() + _STOP_SECONDS
    while networks := _docker(environ, "network", "ls", "--quiet", mine).split():
        if time.monotonic() > deadline:
            raise StackError(
                f"{len(networks)} networks of {name} are still there", f"docker network ls {mine}"
            )
        time.sleep(_LOOK_SECONDS)
    print(
        f"Data stays in the volume {name}_redis_data of the node with the label stack.redis=yes, "
        f"and secrets stay in the Swarm (docker secret ls --filter label=stack={name})."
    )
    return 0


def _name(environ: Mapping[str, str]) -> str:
    return environ.get("STACK_NAME") or "flask-uwsgi-stack"


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    if environ.get("STACK_SOCKET") == "unix":
        raise StackError(
            "STACK_SOCKET=unix: nginx and the app may be on different nodes", "unset it"
        )
    if environ.get("STACK_TLS") == "on":
        raise StackError(
            "STACK_TLS=on: each nginx would create a certificate of its own",
            "end TLS in front of the Swarm and set STACK_TRUSTED_PROXIES",
        )
    # A Swarm publishes on every address, so the checks for an open port apply.
    settings = {**environ, "STACK_SOCKET": "tcp", "STACK_BIND": "0.0.0.0"}  # noqa: S104
    try:
        read_toggles(settings)
    except ToggleError as error:
        raise StackError(str(error)) from None
    return settings


def _config(environ: Mapping[str, str]) -> dict[str, Any]:
    overlays = [str(_HERE / "overlay.yml")]
    if more := environ.get("SWARM_OVERLAY"):
        overlays.append(more)
    files = [f"--file={file}" for file in (str(CHECKOUT / "docker-compose.yml"), *overlays)]
    answer = _docker(environ, "compose", *files, "config", "--format=json")
    return dict(json.loads(answer))


def _nodes(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    swarm = json.loads(_docker(environ, "info", "--format={{json .Swarm}}"))
    if swarm.get("LocalNodeState") != "active":
        raise StackError(
            "this engine is not in a Swarm",
            "docker swarm init, then docker swarm join on the other machines",
        )
    if not swarm.get("ControlAvailable"):
        raise StackError(
            "this engine is a worker", "run this on a manager, or set DOCKER_HOST to it"
        )
    ids = _docker(environ, "node", "ls", "--quiet").split()
    return list(json.loads(_docker(environ, "node", "inspect", *ids)))


def _check_images(
    environ: Mapping[str, str], config: Mapping[str, Any], nodes: list[dict[str, Any]]
) -> None:
    """Nodes pull an image by its name. One without a registry is only where it was built."""
    if len(nodes) == 1 or environ.get("SWARM_IMAGES") == "loaded":
        return
    for service in SERVICES:
        image = str(config["services"][service]["image"])
        first = image.partition("/")[0]
        if "." not in first and ":" not in first and first != "localhost":
            raise StackError(
                f"{image} names no registry, so the other {len(nodes) - 1} nodes cannot pull it",
                "set IMAGE_NAME=registry.example:5000/name, then docker compose build and "
                "docker compose push; or load the images into each node (docker save, docker load) "
                "and set SWARM_IMAGES=loaded",
            )


def _check_place_of_redis(environ: Mapping[str, str], nodes: list[dict[str, Any]]) -> None:
    chosen = [n for n in nodes if n["Spec"].get("Labels", {}).get("stack.redis") == "yes"]
    if len(chosen) == 1:
        return
    if not chosen and len(nodes) == 1:
        _docker(environ, "node", "update", "--label-add=stack.redis=yes", str(nodes[0]["ID"]))
        return
    raise StackError(
        f"{len(chosen)} nodes have the label stack.redis=yes; exactly one keeps Redis' volume",
        "docker node update --label-add stack.redis=yes NODE",
    )


def _secrets(environ: Mapping[str, str], stack: str) -> list[Secret]:
    """Return the secrets of *stack* in the Swarm; create those that it lacks.

    A secret cannot be changed, so its name ends with a hash of its content.
    """
    listed = _docker(
        environ, "secret", "ls", f"--filter=label=stack={stack}", "--format={{.Name}}"
    ).split()
    found = []
    for name, readers in _CREATED.items():
        prefix = f"{stack}_{name}_"
        existing = sorted(entry for entry in listed if entry.startswith(prefix))
        if len(existing) > 1:
            raise StackError(
                f"several secrets: {', '.join(existing)}", "docker secret rm the old one"
            )
        full = existing[0] if existing else _create(environ, stack, prefix, secrets.token_hex(32))
        found += [Secret(full, service, target) for service, target in readers]
    for file in sorted((CHECKOUT / "project" / "secrets").glob("[!.]*")):
        prefix = f"{stack}_app_{file.name}_"
        content = file.read_text(encoding="utf-8")
        full = prefix + _digest(content)
        if full not in listed:
            _create(environ, stack, prefix, content)
        found.append(Secret(full, "app", f"/srv/project/secrets/{file.name}"))
    return found


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _create(environ: Mapping[str, str], stack: str, prefix: str, content: str) -> str:
    name = prefix + _digest(content)
    _docker(environ, "secret", "create", f"--label=stack={stack}", name, "-", given=content)
    return name


def _wait(environ: Mapping[str, str], service: str, deployed: str) -> None:
    """Return when the Swarm has finished with *service*. Raises StackError if that went wrong."""
    told, changed = "", time.monotonic()
    answered = time.monotonic()
    while True:
        try:
            now, answered = _look(environ, service, deployed), time.monotonic()
        except StackError:
            # The update goes on meanwhile.
            if time.monotonic() - answered > _LEADER_SECONDS:
                raise
            now = Progress("the Swarm does not answer; its managers may be choosing a leader")
        if now.failed:
            raise StackError(
                f"{service}: {now.text}",
                f"docker service ps --no-trunc {service} and docker service logs {service} say why",
                log=now.reasons,
            )
        if now.finished:
            return
        if now.text != told:
            print(f"{service}: {now.text}", flush=True)
            told, changed = now.text, time.monotonic()
        elif time.monotonic() - changed > _STUCK_SECONDS:
            raise StackError(
                f"{service}: nothing has changed for {_STUCK_SECONDS:g} s: {now.text}",
                f"docker service ps --no-trunc {service}",
                log=now.reasons,
            )
        time.sleep(_LOOK_SECONDS)


def _look(environ: Mapping[str, str], service: str, deployed: str) -> Progress:
    described = json.loads(_docker(environ, "service", "inspect", service))[0]
    ids = _docker(environ, "service", "ps", "--quiet", "--no-trunc", service).split()
    tasks = json.loads(_docker(environ, "inspect", "--type=task", *ids)) if ids else []
    return progress(described, tasks, deployed)


def _docker(environ: Mapping[str, str], *arguments: str, given: str | None = None) -> str:
    try:
        finished = subprocess.run(
            ["docker", *arguments],
            env=dict(environ), input=given, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise StackError("there is no docker command", "install Docker Engine") from None
    if finished.returncode != 0:
        raise StackError(
            f"docker {arguments[0]} failed",
            f"docker {' '.join(arguments[:2])}",
            log=finished.stderr,
        )
    return finished.stdout
