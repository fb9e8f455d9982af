"""The kernel applies the restrictions of the Compose file to every process."""

import json

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import docker, execute, inspect, of_each_process, restrictions

pytestmark = pytest.mark.containers

USERS = {"nginx": 10003, "app": 10001, "redis": 10002}
services = pytest.mark.parametrize("service", USERS)


@services
def test_every_process_is_unprivileged(stack: ComposeRuntime, service: str) -> None:
    assert restrictions(execute(stack, service, of_each_process("status"))) == {
        "Uid": {"\t".join([str(USERS[service])] * 4)},
        "CapEff": {"0" * 16},
        "CapPrm": {"0" * 16},
        "CapBnd": {"0" * 16},
        "NoNewPrivs": {"1"},
        "Seccomp": {"2"},
    }


@services
def test_the_root_is_read_only_and_tmp_cannot_execute(stack: ComposeRuntime, service: str) -> None:
    mounts = {}
    for line in execute(stack, service, "cat /proc/mounts").splitlines():
        _, where, kind, options, *_ = line.split()
        mounts[where] = (kind, set(options.split(",")))
    assert mounts["/"][0] == "overlay" and "ro" in mounts["/"][1]
    assert mounts["/tmp"][0] == "tmpfs"
    assert {"rw", "noexec", "nosuid", "nodev"} <= mounts["/tmp"][1]
    tried = execute(
        stack,
        service,
        "cp /bin/true /tmp/it; /tmp/it || echo $?; rm /tmp/it; touch /srv/it || echo no",
    )
    assert tried.split() == ["126", "no"]


@services
def test_limits_are_in_force(stack: ComposeRuntime, service: str) -> None:
    host = inspect(stack, service)["HostConfig"]
    assert host["Memory"] > 0 and host["PidsLimit"] > 0 and host["Privileged"] is False
    limits = execute(stack, service, "cat /proc/1/limits")
    expected = {"nginx": 8192, "app": 4096, "redis": 10064}[service]
    line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert line.split()[3:5] == [str(expected)] * 2


def test_somaxconn_allows_the_highest_listen_queue(stack: ComposeRuntime) -> None:
    assert execute(stack, "app", "cat /proc/sys/net/core/somaxconn").strip() == "4096"


def test_only_nginx_is_published_and_only_on_this_machine(stack: ComposeRuntime) -> None:
    published = {}
    for service in stack.containers():
        declared = inspect(stack, service)["NetworkSettings"]["Ports"]
        published[service] = {port: bindings for port, bindings in declared.items() if bindings}
    port = stack.toggles["STACK_PORT"]
    assert published == {
        "nginx": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]},
        "app": {},
        "redis": {},
    }


def test_nginx_does_not_reach_redis(stack: ComposeRuntime) -> None:
    (network,) = inspect(stack, "redis")["NetworkSettings"]["Networks"].values()
    connect = f"exec 3<>/dev/tcp/{network['IPAddress']}/6379"
    attempt = f"timeout 3 bash -c '{connect}' 2>/dev/null && echo open || echo shut"
    assert execute(stack, "nginx", attempt).strip() == "shut"
    assert execute(stack, "nginx", "getent hosts redis || echo unknown").strip() == "unknown"
    # The same attempt must succeed from the app, which shows that it can succeed.
    assert execute(stack, "app", attempt).strip() == "open"


@pytest.mark.parametrize("service", ["app", "redis"])
def test_there_is_no_route_outside(stack: ComposeRuntime, service: str) -> None:
    """The engine drops packets that leave an internal network; only nginx is on another."""
    networks = inspect(stack, service)["NetworkSettings"]["Networks"]
    inspected = json.loads(docker("network", "inspect", *networks))
    assert {network["Internal"] for network in inspected} == {True}

    edge = inspect(stack, "nginx")["NetworkSettings"]["Networks"][f"{stack.name}_edge"]
    connect = f"exec 3<>/dev/tcp/{edge['IPAddress']}/8080"
    attempt = f"timeout 3 bash -c '{connect}' 2>/dev/null && echo open || echo shut"
    assert execute(stack, service, attempt).strip() == "shut"
    assert execute(stack, "nginx", attempt).strip() == "open"


def test_responses_and_uploads_have_a_space_of_their_own(stack: ComposeRuntime) -> None:
    look = "cd /tmp/nginx/temp; df -m uwsgi/. body/. | awk '{print $2, $6}'"
    told = execute(stack, "nginx", look)
    assert told.splitlines()[1:] == ["128 /var/tmp", "80 /tmp"]
