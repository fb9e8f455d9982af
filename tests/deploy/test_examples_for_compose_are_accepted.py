"""The Compose files in docs/examples, and the base image by its digest.

Traefik itself is not run. Each driver of logs is run for one container.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stack import dotenv
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import configuration, docker, image_of
from tests.deploy.test_compose_file_is_hardened import HOLES, RULES, secrets_in_the_open

pytestmark = pytest.mark.containers

EXAMPLES = CHECKOUT / "docs/examples"
SYSLOG = {"SYSLOG_ADDRESS": "udp://127.0.0.1:5514"}


def services(*files: str, **settings: str) -> dict[str, Any]:
    names = ":".join(["docker-compose.yml", *(f"docs/examples/{file}" for file in files)])
    return configuration(ComposeRuntime({"COMPOSE_FILE": names, **settings}))["services"]


# ── Logs ─────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def printed_by_a_container(options: dict[str, Any], line: str) -> Iterator[str]:
    """Let a container print *line*, with the driver and options of a service; yield its name."""
    name = f"logs-{secrets.token_hex(4)}"
    options_ = [f"--log-opt={key}={value}" for key, value in options["options"].items()]
    run = ["run", f"--name={name}", f"--log-driver={options['driver']}", *options_]
    try:
        docker(*run, "--network=none", "--entrypoint=echo", image_of("redis"), line)
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


@pytest.mark.parametrize("driver", ["journald", "syslog"])
def test_each_service_of_the_stack_uses_the_driver(driver: str) -> None:
    found = services(f"logging-{driver}.yml", **SYSLOG)
    for name in ("nginx", "app", "redis"):
        assert found[name]["logging"]["driver"] == driver
        assert found[name]["logging"]["options"]["tag"] == f"flask-uwsgi-stack/{name}"
        assert "max-size" not in found[name]["logging"]["options"]


@pytest.mark.usefixtures("stack")
def test_a_file_has_the_line_and_is_rotated() -> None:
    options = services()["app"]["logging"]
    with printed_by_a_container(options, "a line in a file") as name:
        assert docker("logs", name) == "a line in a file\n"
        (container,) = json.loads(docker("inspect", name))
        assert container["HostConfig"]["LogConfig"] == {
            "Type": "json-file",
            "Config": {"max-file": "3", "max-size": "10m"},
        }


@pytest.mark.usefixtures("stack")
def test_a_syslog_server_gets_the_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        address = f"udp://127.0.0.1:{server.getsockname()[1]}"
        options = services("logging-syslog.yml", SYSLOG_ADDRESS=address)["nginx"]["logging"]
        with printed_by_a_container(options, "a line by syslog") as name:
            message = server.recv(4096).decode()
            assert re.search(r"^<\d+>1 .* flask-uwsgi-stack/nginx .*a line by syslog$", message)
            assert docker("logs", name) == "a line by syslog\n"


@pytest.mark.usefixtures("stack")
def test_the_journal_gets_the_line_where_there_is_one() -> None:
    options = services("logging-journald.yml")["redis"]["logging"]
    if not Path("/run/systemd/journal/socket").exists():
        # Nothing is lost in silence: the engine refuses to start the container.
        with (
            pytest.raises(AssertionError, match="journald is not enabled on this host"),
            printed_by_a_container(options, "a line in the journal"),
        ):
            pass
        return
    with printed_by_a_container(options, "a line in the journal") as name:
        assert docker("logs", name) == "a line in the journal\n"


# ── Traefik ──────────────────────────────────────────────────────────────────────────────────────


def test_traefik_has_the_address_that_nginx_trusts() -> None:
    file = EXAMPLES / "traefik/compose.yml"
    commented = re.findall(r"^#   (\w+=.*)$", file.read_text(), re.MULTILINE)
    settings = dict(line.split("=", 1) for line in commented)
    assert settings.pop("COMPOSE_FILE") == "docker-compose.yml:docs/examples/traefik/compose.yml"
    found = services("traefik/compose.yml", **settings)
    traefik, nginx = found["traefik"], found["nginx"]
    address = traefik["networks"]["proxy"]["ipv4_address"]
    assert nginx["environment"]["STACK_TRUSTED_PROXIES"] == address
    assert set(nginx["networks"]) == {"edge", "front", "proxy"}
    assert set(traefik["networks"]) == {"proxy"}
    # Only Traefik is published beyond this machine.
    assert {port["published"] for port in traefik["ports"]} == {"80", "443"}
    assert {port["host_ip"] for port in nginx["ports"]} == {"127.0.0.1"}


def test_traefik_has_no_more_than_it_needs() -> None:
    settings = {"STACK_HOSTS": "www.example.org", "TRAEFIK_MAIL": "ops@example.org"}
    traefik = services("traefik/compose.yml", **settings)["traefik"]
    assert [rule for rule, holds in RULES.items() if not holds(traefik)] == []
    assert [hole for hole in HOLES if traefik.get(hole)] == []
    assert list(secrets_in_the_open(traefik)) == []
    (routes,) = [mount for mount in traefik["volumes"] if mount["type"] == "bind"]
    assert routes["read_only"] and Path(routes["source"]).samefile(EXAMPLES / "traefik/routes.yml")


# ── The base image by its digest ─────────────────────────────────────────────────────────────────


def test_every_image_is_built_on_the_digest_of_the_example(tmp_path: Path) -> None:
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    pinned = next(line for line in lines if line.startswith("# BASE_IMAGE=") and "@sha256:" in line)
    (tmp_path / ".env").write_text(pinned.removeprefix("# "))
    base = dotenv.read(tmp_path / ".env", {})["BASE_IMAGE"]
    assert re.fullmatch(r"debian:trixie-slim@sha256:[0-9a-f]{64}", base)
    built = {
        name: service["build"]
        for name, service in services(BASE_IMAGE=base).items()
        if "build" in service
    }
    assert set(built) >= {"nginx", "app", "redis", "loadtest"}
    assert {build["args"]["BASE_IMAGE"] for build in built.values()} == {base}


@pytest.mark.parametrize(
    "file",
    sorted({*CHECKOUT.glob("[!.]*/Dockerfile"), *CHECKOUT.glob("deploy/*/Dockerfile")}),
    ids=lambda file: file.parent.name,
)
def test_no_stage_has_another_base(file: Path) -> None:
    text = file.read_text()
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
    assert stages
    own = {name for _, name in stages if name}
    assert {base for base, _ in stages} - own == {"${BASE_IMAGE}"}
    assert text.index("ARG BASE_IMAGE=") < text.index("FROM ")
