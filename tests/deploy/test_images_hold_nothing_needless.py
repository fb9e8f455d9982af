"""The images contain neither build tools nor secrets."""

import json
from pathlib import Path

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import SECRETS, docker, image_of, secret_of

pytestmark = pytest.mark.containers

services = pytest.mark.parametrize("service", ["nginx", "app", "redis"])
BUILD_TOOLS = "gcc g++ cc c++ ld as make pip pip3 curl wget git sudo"


def in_image(service: str, script: str) -> list[str]:
    """Run *script* in the service's image, as root and without a network."""
    command = ["run", "--rm", "--network=none", "--user=0", "--entrypoint=sh", image_of(service)]
    return docker(*command, "-c", script).split()


@services
def test_no_build_tools_package_lists_or_setuid_programs(
    stack: ComposeRuntime, service: str
) -> None:
    found = in_image(
        service,
        f"for tool in {BUILD_TOOLS}; do command -v $tool; done;"
        "find / -xdev -type f \\( -perm /6000 -o -name '*.deb' -o -name 'pip' -o -path '*/pip/*'"
        " -o -path '/var/lib/apt/lists/*_Packages*' -o -path '*/.cache/*' \\);"
        "true",
    )
    assert found == []


@services
def test_it_is_described_and_knows_how_to_run(stack: ComposeRuntime, service: str) -> None:
    config = json.loads(docker("image", "inspect", image_of(service)))[0]["Config"]
    for label in ("title", "description", "licenses", "version", "base.name"):
        assert config["Labels"][f"org.opencontainers.image.{label}"], label
    user, group = config["User"].split(":")
    assert int(user) > 0 and int(group) > 0, "numeric, so that `runAsNonRoot` can be checked"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["StopSignal"] == {"nginx": "SIGQUIT"}.get(service, "SIGTERM")
    assert len(config["Entrypoint"]) == 1, "exec form: signals reach the program"


@services
def test_nothing_secret_is_inside(stack: ComposeRuntime, service: str) -> None:
    assert in_image(service, "find /secrets /run/secrets -type f 2>/dev/null; true") == []
    assert in_image(service, "find / -xdev \\( -name '.env*' -o -name .git \\); true") == []
    history = docker("history", "--no-trunc", image_of(service))
    assert not [owner for owner in SECRETS if secret_of(stack, owner) in history]


def test_the_builds_secrets_stay_outside(stack: ComposeRuntime) -> None:
    assert in_image("app", "ls /run/secrets /etc/pip.conf 2>/dev/null; true") == []
    bundle = stack.environ["CA_BUNDLE"]
    if bundle:
        # The last certificate: the base image must not have it, or the test shows nothing.
        lines = Path(bundle).read_text(encoding="utf-8").split("-----BEGIN CERTIFICATE-----")
        mark = lines[-1].split()[3]
        assert bundle not in docker("history", "--no-trunc", image_of("app"))
        assert in_image("app", f"grep -rlF '{mark}' /opt /srv /home /root /tmp; true") == []
