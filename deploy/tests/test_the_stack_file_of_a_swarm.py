"""The stack file for a Swarm keeps the limits, the times and the hardening of docker-compose.yml.

deploy/swarm/convert.py lists the options that a stack file cannot express. This test repeats the
list, so that it grows only on purpose.
"""

import copy
import json
import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from deploy.swarm import cluster
from deploy.swarm.convert import DEPLOYED, LEFT_OUT, SERVICES, Secret, _tmpfs, convert
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from tests.deploy.engine import configuration

LOADTEST = CHECKOUT / "deploy" / "loadtest" / "compose.yml"
SECRETS = [
    Secret("x_redis_password_1", "redis", "/secrets/redis/password"),
    Secret("x_redis_password_1", "app", "/secrets/redis/password"),
]
COMPOSE: dict[str, Any] = {
    "name": "x",
    "services": {
        name: {
            "image": f"x/{name}:dev",
            "build": {"context": "."},
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "restart": "unless-stopped",
            "environment": {"SET": "1", "UNSET": None},
            "mem_limit": "671088640",
            "pids_limit": 64,
            "ulimits": {"nofile": 8192},
            "stop_grace_period": "1m20s",
            "networks": {"front": None},
            "tmpfs": ["/tmp:rw,noexec,nosuid,nodev,size=64m,mode=1777"],
            "ports": [{"host_ip": "127.0.0.1", "published": "8080", "target": 8080}],
            "volumes": [
                {"type": "volume", "source": "app_secret", "target": "/secrets/app", "volume": {}},
                {"type": "volume", "source": "data", "target": "/data", "volume": {}},
                {"type": "bind", "source": "/here", "target": "/srv/project/secrets"},
            ],
            "deploy": {"replicas": 2},
        }
        for name in SERVICES
    },
    "networks": {"front": {"internal": True}},
}


def converted(**change: Any) -> dict[str, Any]:
    config = copy.deepcopy(COMPOSE)
    config["services"]["app"].update(change)
    service: dict[str, Any] = convert(config, SECRETS)["services"]["app"]
    return service


def _seconds(service: dict[str, Any]) -> float:
    parts = re.findall(r"(\d+)([ms])", service["stop_grace_period"])
    return float(sum(int(number) * {"m": 60, "s": 1}[unit] for number, unit in parts))


def test_hardening_and_limits_stay() -> None:
    service = converted()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["ulimits"] == {"nofile": 8192}
    assert service["stop_grace_period"] == "1m20s"
    assert service["deploy"]["resources"]["limits"] == {"memory": "671088640", "pids": 64}
    assert service["deploy"]["replicas"] == 2
    assert converted(cpus=0.5)["deploy"]["resources"]["limits"]["cpus"] == "0.5"


def test_a_label_tells_one_version_from_another() -> None:
    labels = converted(deploy={"labels": {"mine": "kept"}})["deploy"]["labels"]
    assert labels["mine"] == "kept"
    assert labels == converted(deploy={"labels": {"mine": "kept"}})["deploy"]["labels"]
    assert converted()["deploy"]["labels"] != converted(cpus=0.5)["deploy"]["labels"]
    changed = converted(environment={"SET": "2"})["deploy"]["labels"]
    assert converted()["deploy"]["labels"].keys() == changed.keys() == {DEPLOYED}
    assert converted()["deploy"]["labels"] != changed


def test_only_this_is_left_out() -> None:
    assert set(LEFT_OUT) == {"build", "depends_on", "restart", "security_opt", "group_add"}
    assert not set(LEFT_OUT) & converted().keys()


def test_ports_are_numbers_without_an_address() -> None:
    assert converted()["ports"] == [
        {"target": 8080, "published": 8080, "protocol": "tcp", "mode": "ingress"}
    ]


def test_a_variable_without_a_value_is_not_set() -> None:
    assert converted()["environment"] == {"SET": "1"}


def test_volumes_of_one_machine_are_replaced() -> None:
    service = converted()
    assert service["volumes"] == [
        {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": 64 << 20}},
        {"type": "volume", "source": "data", "target": "/data"},
    ]
    assert service["secrets"] == [
        {
            "source": "x_redis_password_1",
            "target": "/secrets/redis/password",
            "uid": "10001",
            "gid": "10001",
            "mode": 0o400,
        }
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"privileged": True},
        {"tmpfs": ["/tmp:rw"]},
        {"tmpfs": ["/tmp:size=many"]},
        {"volumes": [{"type": "bind", "source": "/etc", "target": "/etc"}]},
    ],
)
def test_what_no_rule_covers_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(StackError):
        converted(**change)


@pytest.mark.containers
def test_our_compose_file_keeps_its_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWARM_OVERLAY", raising=False)
    environ = {**os.environ, "STACK_NAME": "policy", "STACK_SOCKET": "tcp"}
    answer = subprocess.run(
        ["docker", "compose", "--file", "docker-compose.yml", "config", "--format", "json"],
        cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    before = json.loads(answer.stdout)["services"]
    config = cluster._config(environ)
    after = convert(config, SECRETS)["services"]
    for name in SERVICES:
        limits = after[name]["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) == int(before[name]["mem_limit"])
        assert limits["pids"] == before[name]["pids_limit"]
        assert after[name]["read_only"] is True
        assert after[name]["cap_drop"] == ["ALL"]
        for option in ("ulimits", "logging"):
            assert after[name][option] == before[name][option]
        longer = float(after["app"]["entrypoint"][-2]) if name == "app" else 0
        assert _seconds(after[name]) == _seconds(before[name]) + longer
        assert after[name]["deploy"]["update_config"]["failure_action"] == "rollback"
    for name in ("nginx", "app"):
        assert after[name]["deploy"]["update_config"]["order"] == "start-first"
    assert after["redis"]["deploy"]["update_config"]["order"] == "stop-first"
    assert {s: set(after[s]["networks"]) for s in SERVICES} == {
        s: set(before[s]["networks"]) for s in SERVICES
    }
    networks = convert(config, SECRETS)["networks"]
    assert networks["front"]["internal"] and networks["data"]["internal"]
    # Neither the socket nor a secret is a volume that a node creates for itself.
    sources = {v.get("source") for s in SERVICES for v in after[s]["volumes"]}
    assert sources == {None, "app_data", "redis_data"}


@pytest.mark.containers
def test_the_load_test_is_confined_as_in_compose() -> None:
    environ = {**os.environ, "STACK_NAME": "ours", "IMAGE_NAME": "r.example/ours", "WORKERS": "3"}
    answer = subprocess.run(
        ["docker", "stack", "config", "--compose-file", "deploy/swarm/loadtest.yml"],
        cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    stack = yaml.safe_load(answer.stdout)
    compose = configuration(ComposeRuntime({"WORKERS": "3"}, files=[LOADTEST]))["services"]
    for name, model in {"master": "loadtest", "worker": "loadtest-worker"}.items():
        service, source = stack["services"][name], compose[model]
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) == int(source["mem_limit"])
        assert limits["pids"] == source["pids_limit"]
        for option in ("read_only", "cap_drop", "ulimits", "logging", "healthcheck"):
            assert service[option] == source[option]
        assert service.get("stop_signal") == source.get("stop_signal")
        assert _seconds(service) == _seconds(source)
        assert service["command"][:2] == [
            word.replace("loadtest:", "master:") for word in source["command"][:2]
        ]
        variables = service["environment"].items()
        assert variables <= source["environment"].items()
        (results,) = source["volumes"]
        assert service["volumes"] == [
            {"type": "volume", "source": "results", "target": results["target"]},
            _tmpfs(*source["tmpfs"]),
        ]
        assert list(service["networks"]) == list(source["networks"]) == ["edge"]
        assert not service.keys() & {"ports", "cap_add", "secrets", "configs"}
        assert service["deploy"]["restart_policy"] == {"condition": "none"}
    assert stack["networks"]["edge"] == {"external": True, "name": "ours_edge"}
    assert stack["services"]["worker"]["deploy"]["replicas"] == 3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"STACK_SOCKET": "unix"}, "nodes"),
        ({"STACK_TLS": "on"}, "certificate"),
        ({"STACK_HOSTS": "*"}, "STACK_HOSTS"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_the_deploy(
    settings: dict[str, str], named: str
) -> None:
    with pytest.raises(StackError, match=named):
        cluster._settings(settings)


def test_images_without_a_registry_are_refused_for_several_nodes() -> None:
    config = {"services": {name: {"image": f"ours/{name}:dev"} for name in SERVICES}}
    with pytest.raises(StackError, match="names no registry"):
        cluster._check_images({}, config, [{}, {}])
    cluster._check_images({}, config, [{}])
    cluster._check_images({"SWARM_IMAGES": "loaded"}, config, [{}, {}])
    held = {"services": {name: {"image": f"r.example/{name}:dev"} for name in SERVICES}}
    cluster._check_images({}, held, [{}, {}])
