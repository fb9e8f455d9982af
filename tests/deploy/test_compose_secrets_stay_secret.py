"""The first start creates the secrets, and only their files contain them."""

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import docker, execute, of_each_process, secret_of

pytestmark = pytest.mark.containers


@pytest.fixture
def secrets(stack: ComposeRuntime) -> dict[str, str]:
    return {
        "password": secret_of(stack, "redis"),
        "key": secret_of(stack, "app"),
    }


def test_they_are_long_and_different(secrets: dict[str, str]) -> None:
    assert all(len(bytes.fromhex(secret)) >= 32 for secret in secrets.values())
    assert len(set(secrets.values())) == 2


@pytest.mark.parametrize(
    ("service", "file", "mode"),
    [
        ("redis", "/secrets/redis/password", "440 10002:10002"),
        ("app", "/secrets/redis/password", "440 10002:10002"),
        ("app", "/secrets/app/secret_key", "600 10001:10001"),
    ],
)
def test_their_files_are_private(stack: ComposeRuntime, service: str, file: str, mode: str) -> None:
    assert execute(stack, service, f"stat -c '%a %u:%g' {file}").strip() == mode


def test_the_app_cannot_change_the_password(stack: ComposeRuntime) -> None:
    script = "rm -f /secrets/redis/password 2>&1; echo x >/secrets/redis/new; ls /secrets/redis"
    listed = execute(stack, "app", script + "; true")
    assert "Read-only file system" in listed
    assert listed.split()[-1] == "password"


def test_environment_arguments_and_logs_do_not_contain_them(
    stack: ComposeRuntime, secrets: dict[str, str]
) -> None:
    for service, container in stack.containers().items():
        configured = docker("inspect", container.id)
        arguments = execute(stack, service, of_each_process("cmdline") + "; cat /proc/1/environ")
        for name, secret in secrets.items():
            assert secret not in configured, f"{service}'s configuration contains the {name}"
            assert secret not in arguments, f"an argument in {service} contains the {name}"
            assert secret not in stack.log(service), f"{service}'s log contains the {name}"
