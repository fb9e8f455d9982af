"""docker-compose.yml agrees with the other files on shared numbers and names."""

import re
from typing import Any

import pytest

from stack.checkout import CHECKOUT
from stack.compose.runtime import DEFAULT_BASE_IMAGE, ComposeRuntime
from tests.deploy.engine import configuration
from toggles import TOGGLES

pytestmark = pytest.mark.containers

COMPOSE = (CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8")
ARGON2_MEMORY = 19 << 20


def services(**settings: str) -> dict[str, dict[str, Any]]:
    return configuration(ComposeRuntime(settings))["services"]


def seconds(text: object) -> int:
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(\d+)s", str(text)).groups()
    return int(minutes or 0) * 60 + int(rest)


def in_file(path: str, expression: str) -> int:
    found = re.search(expression, (CHECKOUT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{path} has nothing like {expression}"
    return int(found[1])


def test_one_base_image() -> None:
    named = set(re.findall(r"BASE_IMAGE:-([^}]+)", COMPOSE))
    for file in CHECKOUT.glob("*/Dockerfile"):
        text = file.read_text(encoding="utf-8")
        named |= {re.search(r"^ARG BASE_IMAGE=(\S+)$", text, re.MULTILINE)[1]}
        sources = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
        assert sources == {"${BASE_IMAGE}"}, file
    assert named == {DEFAULT_BASE_IMAGE}


def test_a_stop_waits_longer_than_the_program_takes() -> None:
    by_name = services()
    grace = in_file("uwsgi/generation.py", r"^STOP_GRACE_SECONDS\s*=\s*(\d+)")
    assert seconds(by_name["app"]["stop_grace_period"]) > grace
    shutdown = in_file("nginx/nginx.conf", r"^worker_shutdown_timeout (\d+)s;")
    assert seconds(by_name["nginx"]["stop_grace_period"]) > shutdown


def test_somaxconn_allows_the_highest_listen_queue() -> None:
    somaxconn = int(services()["app"]["sysctls"]["net.core.somaxconn"])
    assert somaxconn >= TOGGLES["STACK_LISTEN"].kind.high


def test_the_limit_of_open_files_is_uwsgis() -> None:
    assert services(STACK_MAX_FD="1000")["app"]["ulimits"]["nofile"] == 1000


def test_the_most_password_hashes_at_once_fit_in_the_memory() -> None:
    most = in_file("app/security/hashing.py", r"min\((\d+), len\(os\.sched_getaffinity") - 1
    assert most * ARGON2_MEMORY < int(services()["app"]["mem_limit"]) / 2


def test_redis_has_room_to_rewrite_its_file() -> None:
    redis = services()["redis"]
    maximum = in_file("redis/entrypoint", r"^maxmemory=\$\{REDIS_MAXMEMORY-(\d+)mb\}") << 20
    assert int(redis["mem_limit"]) >= 2 * maximum


def test_nothing_secret_can_enter_a_build() -> None:
    lines = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "not an allow-list"
    named = {rule[1:].split("/")[0] for rule in rules if rule.startswith("!")}
    folders = {"app", "loadtest", "nginx", "project", "redis", "requirements", "toggles", "uwsgi"}
    assert named - {"certificates"} == folders
    for left_out in ("project/*.env", "project/secrets"):
        assert rules.index("!project") < rules.index(left_out)


@pytest.mark.parametrize(
    ("tls", "address"), [("off", "http://nginx:8080"), ("on", "https://nginx:8443")]
)
def test_the_load_test_finds_the_app(tls: str, address: str) -> None:
    by_name = services(STACK_TLS=tls, STACK_PREFIX="/shop")
    assert by_name["loadtest"]["environment"]["HOST"] == f"{address}/shop"
