"""The stack on three engines with a registry: updates, roll-back, and nodes that are lost.

A balancer in front gives each connection to a node that takes it. The tests follow each other on
one Swarm, and each leaves it whole.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.swarm.convert import SERVICES
from deploy.tests.three_engines import (
    NODES,
    REGISTRY,
    Balancer,
    Engines,
    LeaderUnknown,
    hostname,
)
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.people.over_http import Answer, Person
from tests.waiting import wait_until

# Three engines need both cores: beside other tests, requests and updates reach their time limits.
pytestmark = [pytest.mark.engines, pytest.mark.quiet]

NAME = f"swarm-test-{os.getpid()}"
PORT = 8080
HOST = "swarm.test"
# Redis runs on the first node, which is also asked to deploy.
REDIS_NODE = 1
CLIENTS = 3
# Locust asks for the service by its name.
SETTINGS = {"STACK_NAME": NAME, "STACK_PORT": str(PORT), "STACK_HOSTS": f"{HOST},nginx"}
FIGURES = {"SMOKE_SECONDS": "8", "SMOKE_USERS": "4", "SMOKE_P95_MS": "5000"}


@dataclass
class Load:
    """What clients got that ask for the start page and for a member's own page."""

    # When each request ended, how long it took, and what was wrong with it.
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    # GETs that were sent again, because a connection ended without an answer.
    repeated: int = 0

    @property
    def failed(self) -> list[tuple[float, float, str]]:
        return [answer for answer in self.answers if answer[2]]

    def told(self, begun: float) -> str:
        failed = self.failed
        text = (
            f"{len(failed)} of {len(self.answers)} requests failed, {self.repeated} were repeated"
        )
        text += f", the longest took {max(took for _, took, _ in self.answers):.2f} s"
        if failed:
            times = [ended - begun for ended, _, _ in failed]
            text += f"; failures from {min(times):.1f} s to {max(times):.1f} s: "
            text += str({why: sum(why == f[2] for f in failed) for _, _, why in failed})
        return text


@dataclass
class Cluster:
    engines: Engines
    balancer: Balancer

    def run(self, *command: str, status: int = 0, **settings: str) -> str:
        """Run a command for the first node, which ends with *status*; return what it printed."""
        environ = {
            **os.environ,
            "DOCKER_HOST": self.engines.host(REDIS_NODE),
            "IMAGE_NAME": f"{REGISTRY}/ours",
            "REDIS_TAG": "1",
            "SWARM_OVERLAY": "deploy/swarm/host-ports.yml",
            "SWARM_MONITOR": "5s",
            **SETTINGS,
            **settings,
        }
        finished = subprocess.run(
            command, cwd=CHECKOUT, env=environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert finished.returncode == status, finished.stdout
        return finished.stdout

    def images(self, service: str) -> set[str]:
        """Return the tags of the images that the running tasks of *service* have."""
        shown = self.engines.docker(
            REDIS_NODE, "service", "ps", "--filter=desired-state=running", "--format={{.Image}}",
            f"{NAME}_{service}",
        )  # fmt: skip
        return {image.rpartition(":")[2] for image in shown.split()}

    def tasks(self, service: str, state: str = "running") -> list[tuple[str, str]]:
        """Return the nodes and the states of the tasks that shall have *state*."""
        shown = self.engines.docker(
            REDIS_NODE, "service", "ps", f"--filter=desired-state={state}",
            "--format={{.Node}} {{.CurrentState}}", service,
        )  # fmt: skip
        lines = [line.split() for line in shown.splitlines()]
        return [(node, current) for node, current, *_ in lines]

    def settle(self) -> None:
        """Return when all nodes are ready and all tasks run."""

        def settled() -> bool:
            with suppress(LeaderUnknown):
                if len(self.engines.ready(REDIS_NODE)) == len(NODES):
                    shown = self.engines.docker(
                        REDIS_NODE, "service", "ls", "--format={{.Replicas}}"
                    )
                    return all(line.split()[0] in {"1/1", "3/3"} for line in shown.splitlines())
            return False

        wait_until(settled, 120)

    @contextmanager
    def load(self, person: Person) -> Iterator[Load]:
        """Ask all the time, in the background."""
        load, end = Load(), threading.Event()
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.cookies)
        headers = {"Host": HOST, "Cookie": cookies}

        def ask(path: str) -> str:
            connection = http.client.HTTPConnection(HOST)
            connection.sock = self.balancer.connect(timeout=10)
            try:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                answer.read()
                return "" if answer.status == 200 else str(answer.status)
            finally:
                connection.close()

        def client(path: str) -> None:
            while not end.wait(0.05):
                begun = time.monotonic()
                try:
                    try:
                        wrong = ask(path)
                    except (ConnectionError, http.client.BadStatusLine):
                        load.repeated += 1
                        wrong = ask(path)
                except (OSError, http.client.HTTPException) as error:
                    wrong = type(error).__name__
                now = time.monotonic()
                load.answers.append((now, now - begun, wrong))

        paths = ["/", "/auth/whoami", "/auth/whoami"]
        threads = [threading.Thread(target=client, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(load.answers) >= CLIENTS, 30)
            yield load
        finally:
            end.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def killed(self, node: int) -> Iterator[None]:
        """Take the power from *node*, and boot it in the end: the next test needs all three."""
        self.engines.kill(node)
        try:
            yield
        finally:
            self.engines.boot(node)
            self.engines.wait_for(node)

    def node_with_a_task(self) -> int:
        """Return a node that runs a task of the app and not Redis."""
        nodes = [node for node, _ in self.tasks(f"{NAME}_app")]
        return next(it for it in NODES if it != REDIS_NODE and hostname(it) in nodes)

    def wait_for_others(self, lost: int) -> None:
        """Return when the other nodes run all tasks of the app."""

        def taken_over() -> bool:
            with suppress(LeaderUnknown):
                tasks = self.tasks(f"{NAME}_app")
                running = [node for node, state in tasks if state == "Running"]
                return len(running) == len(tasks) == 3 and hostname(lost) not in running
            return False

        wait_until(taken_over, 120)


class Behind(urllib.request.HTTPHandler):
    """Opens the connections of a Person through the balancer."""

    handler_order = 100

    def __init__(self, balancer: Balancer) -> None:
        super().__init__()
        self._balancer = balancer

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        balancer = self._balancer

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                self.sock = balancer.connect(timeout=10)

        return self.do_open(Connection, request)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    images = ComposeRuntime({"STACK_NAME": NAME, "IMAGE_NAME": NAME})
    engines = Engines()
    try:
        images.build()
        images.compose("--profile=loadtest", "build", "loadtest", timeout_s=600)
        engines.start()
        ours = f"{REGISTRY}/ours"
        engines.push({f"{NAME}/{it}:dev": f"{ours}/{it}:1" for it in (*SERVICES, "loadtest")})
        for service in ("nginx", "app"):
            first = f"{ours}/{service}:1"
            engines.check_often(first)
            engines.change(first, f"{ours}/{service}:2", "LABEL release=2")
            engines.change(first, f"{ours}/{service}:3", "ENV STACK_APP=no_such_module:app")
        node = engines.docker(REDIS_NODE, "info", "--format={{.Swarm.NodeID}}").strip()
        engines.docker(REDIS_NODE, "node", "update", "--label-add=stack.redis=yes", node)
        cluster = Cluster(engines, Balancer(engines, PORT))
        assert f"{NAME} answers at port {PORT}" in cluster.run("make", "swarm-up", IMAGE_TAG="1")
        yield cluster
    finally:
        engines.stop()
        images.remove_images()
    assert not engines.home.exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{engines.cgroup}"))


@pytest.fixture(scope="module")
def member(cluster: Cluster) -> Person:
    """Somebody who has registered and is logged in."""
    person = Person(f"http://{HOST}/")
    person._opener.add_handler(Behind(cluster.balancer))
    password = "correct-horse-battery-staple"
    answer = person.fill_in("/auth/register", name="ada", password=password, repeated=password)
    assert answer.status == 200
    assert person.get("/auth/whoami").json["name"] == "ada"
    return person


def asked(member: Person, status: int) -> Answer | None:
    """Return what the member's own page is, if it has *status*."""
    # A connection that a node has taken while it was ended gets no answer.
    with suppress(OSError):
        answer = member.get("/auth/whoami")
        return answer if answer.status == status else None
    return None


def test_secrets_and_hardening_are_in_force(cluster: Cluster) -> None:
    engines = cluster.engines
    for service, user in {"app": "10001", "redis": "10002"}.items():
        mine = f"--filter=label=com.docker.swarm.service.name={NAME}_{service}"
        found = ((it, engines.docker(it, "ps", "--quiet", mine).split()) for it in NODES)
        node, container = next((it, containers[0]) for it, containers in found if containers)
        look = "stat -c '%u %a' /secrets/redis/password; grep -E 'NoNewPrivs|CapEff' /proc/1/status"
        owner, mode, *status = engines.docker(node, "exec", container, "sh", "-c", look).split()
        assert (owner, mode) == (user, "400")
        assert status == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
        shown = json.loads(engines.docker(node, "inspect", container))[0]
        password = engines.docker(node, "exec", container, "cat", "/secrets/redis/password").strip()
        assert password not in json.dumps(shown)
        assert shown["HostConfig"]["ReadonlyRootfs"] is True
    spec = json.loads(engines.docker(1, "service", "inspect", f"{NAME}_app"))[0]["Spec"]
    # Longer than STOP_GRACE_SECONDS of uwsgi/generation.py and the delay of the entrypoint.
    assert spec["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] >= 80e9


def test_two_workers_on_two_nodes_count_as_many_requests_as_nginx(
    cluster: Cluster, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.yml"
    master = {"version": "3.9", "services": {"master": {"environment": FIGURES}}}
    figures.write_text(json.dumps(master))
    name = f"{NAME}-load"
    files = ("--compose-file=deploy/swarm/loadtest.yml", f"--compose-file={figures}")
    cluster.run("docker", "stack", "deploy", *files, name, IMAGE_TAG="1", WORKERS="2")
    try:
        wait_until(lambda: cluster.tasks(f"{name}_master", "shutdown"), 400)
        told = cluster.run("docker", "service", "logs", "--raw", f"{name}_master")
        ((_, state),) = cluster.tasks(f"{name}_master", "shutdown")
        assert state == "Complete", told
        # The workers end with the run.
        wait_until(lambda: len(cluster.tasks(f"{name}_worker", "shutdown")) == 2, 120)
        nodes = {node for node, _ in cluster.tasks(f"{name}_worker", "shutdown")}
    finally:
        cluster.run("docker", "stack", "rm", name)
    assert len(nodes) == 2
    assert re.search(r"^kept +workers +2 +≥ 2$", told, re.MULTILINE), told
    counted = re.search(r"^kept +requests +([0-9,]+) ", told, re.MULTILINE)
    assert counted, told
    log = cluster.run("docker", "service", "logs", "--raw", f"{NAME}_nginx").splitlines()
    agents = [json.loads(line).get("user_agent") for line in log if line.startswith("{")]
    assert agents.count("flask-uwsgi-stack loadtest") == int(counted[1].replace(",", "")) > 0


def test_the_service_goes_on_while_the_images_are_updated(cluster: Cluster, member: Person) -> None:
    begun = time.monotonic()
    with cluster.load(member) as load:
        cluster.run("make", "swarm-up", IMAGE_TAG="2")
        took = time.monotonic() - begun
    print(f"update, {took:.0f} s: {load.told(begun)}")
    assert not load.failed, load.told(begun)
    assert cluster.images("app") == cluster.images("nginx") == {"2"}
    assert member.get("/auth/whoami").json["name"] == "ada"


def test_a_broken_image_is_undone(cluster: Cluster, member: Person) -> None:
    begun = time.monotonic()
    with cluster.load(member) as load:
        told = cluster.run("make", "swarm-up", IMAGE_TAG="3", status=2)
        took = time.monotonic() - begun
    print(f"broken image, {took:.0f} s: {load.told(begun)}")
    assert "the Swarm has returned to the one before" in told
    assert not load.failed, load.told(begun)
    assert cluster.images("app") == {"2"}


def test_a_node_that_is_cut_off_is_replaced(cluster: Cluster, member: Person) -> None:
    lost = cluster.node_with_a_task()
    with cluster.load(member) as load:
        event = time.monotonic()
        cluster.engines.cut_off(lost)
        try:
            cluster.wait_for_others(lost)
        finally:
            cluster.engines.join_again(lost)
        took = time.monotonic() - event
    print(f"cut off, {took:.0f} s: {load.told(event)}")
    assert len(load.failed) < len(load.answers) / 4
    cluster.settle()


def test_a_node_that_is_killed_is_replaced(cluster: Cluster, member: Person) -> None:
    lost = cluster.node_with_a_task()
    with cluster.load(member) as load:
        event = time.monotonic()
        with cluster.killed(lost):
            cluster.wait_for_others(lost)
            took = time.monotonic() - event
    print(f"killed, {took:.0f} s: {load.told(event)}")
    assert len(load.failed) < len(load.answers) / 4
    cluster.settle()


def test_sessions_return_with_the_node_of_redis(cluster: Cluster, member: Person) -> None:
    event = time.monotonic()
    with cluster.killed(REDIS_NODE):
        refused = wait_until(lambda: asked(member, 503), 60)
        assert "retry-after" in refused.headers
        assert member.get("/").status == 200
        booted = time.monotonic()
    answer = wait_until(lambda: asked(member, 200), 120)
    back = time.monotonic()
    print(f"Redis' node: {back - event:.0f} s without sessions, {back - booted:.0f} s since boot")
    assert answer.json["name"] == "ada"
    cluster.settle()


def test_down_keeps_the_secrets_and_the_data(cluster: Cluster) -> None:
    cluster.run("make", "swarm-down")
    engines = cluster.engines
    assert engines.docker(1, "service", "ls", "--quiet") == ""
    assert "redis_password" in engines.docker(1, "secret", "ls")
    assert f"{NAME}_redis_data" in engines.docker(REDIS_NODE, "volume", "ls")
