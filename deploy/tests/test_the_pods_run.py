"""The rendered pods run: podman starts what one-node would send to a cluster, and people use it.

podman acts on no readiness probe and has no Service, so the test asks as an Ingress would.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.tests.manifests import Manifest, render, templates
from deploy.tests.pods import Podman, playable
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import RESTRICTIONS, image_of, of_each_process, restrictions
from tests.people.over_http import Person, walk_through
from tests.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.pods]

USERS = {"app": 10001, "redis": 10002, "nginx": 10003}
PAGE = (CHECKOUT / "docs" / "scale-out.md").read_text(encoding="utf-8")
# The limits of logins are per address, and here all people have one.
SETTINGS = {"STACK_HOSTS": "", "STACK_WORKLOAD": "on", "STACK_LOGIN_RATE": "0"}


@dataclass(frozen=True)
class Pods:
    podman: Podman
    manifests: list[Manifest]
    web: str
    redis: str
    hosts: dict[str, str]
    images: dict[str, str]
    address: str

    def container(self, name: str) -> str:
        return f"{self.redis if name == 'redis' else self.web}-{name}"

    def play(self, workload: str, name: str, **settings: str) -> str:
        return self.podman.play(
            playable(
                self.manifests,
                workload,
                name,
                images=self.images,
                hosts=self.hosts,
                settings={**SETTINGS, **settings},
            )
        )

    def log_in(self, name: str, password: str) -> Person:
        """Log in, as soon as it succeeds: each worker finds for itself that Redis is back."""
        person = Person(self.address)

        def is_in() -> bool:
            with suppress(AssertionError):  # a 503 has no form
                return person.fill_in("/auth/login", name=name, password=password).status == 200
            return False

        wait_until(is_in)
        return person

    def ready(self, address: str | None = None) -> bool:
        """Ask what the readiness probe asks."""
        try:
            return Person(address or self.address).get("/readyz").status == 200
        except OSError:
            return False

    def wait_until_ready(self, address: str | None = None) -> None:
        try:
            wait_until(lambda: self.ready(address), 120)
        except AssertionError as error:
            containers = [self.container(name) for name in ("redis", "app")]
            logs = [self.podman("logs", "--tail=15", name, check=False) for name in containers]
            raise AssertionError("\n".join([str(error), *logs])) from error


@pytest.fixture(scope="module")
def pods(stack: ComposeRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    folder = tmp_path_factory.mktemp("pods")
    podman = Podman(folder, f"pods-{os.getpid()}")
    manifests = render("one-node", folder)
    hosts: dict[str, str] = {}
    names = (f"{podman.prefix}-web", f"{podman.prefix}-redis", hosts)
    try:
        images = podman.load(*map(image_of, USERS))
        hosts["redis"] = Pods(podman, manifests, *names, images, "").play("redis", names[1])
        ip = Pods(podman, manifests, *names, images, "").play("web", names[0])
        found = Pods(podman, manifests, *names, images, f"http://{ip}:8080")
        found.wait_until_ready()
        yield found
    finally:
        podman.clean()


def test_a_member_signs_up_posts_and_logs_out(pods: Pods) -> None:
    walk_through(pods.address)
    if (CHECKOUT / "app" / "posts").is_dir():
        person = Person(pods.address)
        password = "correct-horse-battery-staple"
        person.fill_in("/auth/register", name="writer", password=password, repeated=password)
        post = person.fill_in("/posts/", title="From a pod", text="It is kept in Redis.")
        assert post.status == 200 and "Your post has been published." in post.text


@pytest.mark.parametrize("name", USERS)
def test_every_process_is_unprivileged(pods: Pods, name: str) -> None:
    read = of_each_process("status")
    values = restrictions(pods.podman.execute(pods.container(name), read))
    none = {"0" * 16}
    user = {"\t".join([str(USERS[name])] * 4)}
    assert values == dict(zip(RESTRICTIONS, (user, none, none, none, {"1"}, {"2"}), strict=True))


@pytest.mark.parametrize("name", USERS)
def test_the_root_is_read_only_and_memory_is_limited(pods: Pods, name: str) -> None:
    container = pods.container(name)
    assert pods.podman.execute(container, "touch /srv/it 2>/dev/null || echo no").strip() == "no"
    mounts = pods.podman.execute(container, "cat /proc/mounts").splitlines()
    options = {line.split()[1]: line.split()[3].split(",") for line in mounts}
    assert "ro" in options["/"]
    workload = templates(pods.manifests)["redis" if name == "redis" else "web"]
    (limit,) = [
        each["resources"]["limits"]["memory"]
        for each in workload["spec"]["containers"]
        if each["name"] == name
    ]
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
    in_force = pods.podman.execute(container, f"cat {files} 2>/dev/null || true").strip()
    assert int(in_force) == int(limit.removesuffix("Mi")) << 20


def test_nginx_cannot_replace_the_socket_or_read_a_secret(pods: Pods) -> None:
    nginx = pods.container("nginx")
    assert pods.podman.execute(nginx, "ls -l /run/app/uwsgi.sock").startswith(("s", "l"))
    refused = "rm -f /run/app/uwsgi.sock 2>/dev/null || echo no"
    assert pods.podman.execute(nginx, refused).strip() == "no"
    modes = "stat -c %a:%u:%g /secrets/app/secret_key /secrets/redis/password"
    assert pods.podman.execute(pods.container("app"), modes).split() == ["440:0:10001"] * 2
    secrets = "ls /secrets/app /secrets/redis 2>/dev/null || echo none"
    assert pods.podman.execute(nginx, secrets).strip() == "none"


def test_readiness_needs_redis_and_liveness_does_not(pods: Pods) -> None:
    redis, started = pods.container("redis"), {}
    for name in ("nginx", "app"):
        started[name] = pods.podman.inspect(pods.container(name))["State"]["StartedAt"]
    assert pods.podman.alive(redis)
    pods.podman("pause", redis)
    try:
        wait_until(lambda: Person(pods.address).get("/readyz").status == 503)
        assert not pods.podman.alive(redis)
        for name in ("nginx", "app"):
            assert pods.podman.alive(pods.container(name)), name
    finally:
        pods.podman("unpause", redis)
    pods.wait_until_ready()
    for name, before in started.items():
        assert pods.podman.inspect(pods.container(name))["State"]["StartedAt"] == before


def test_the_first_admin_is_created_by_the_command_of_the_page(pods: Pods) -> None:
    command = re.search(r"deployment/web -c app -- (flask .* ada --admin)`", PAGE)[1]
    password = "correct-horse-battery-staple"
    said = pods.podman.execute(
        pods.container("app"), f"echo {password} | {command} --password-stdin"
    )
    assert said == "Created ada (admin).\n"
    assert pods.log_in("ada", password)


def test_the_job_runs_what_a_release_asks_for(pods: Pods) -> None:
    name = f"{pods.podman.prefix}-migrate"
    pods.play("migrate", name, STACK_BEFORE_START="id -u && touch /data/it && echo migrated")
    assert pods.podman.finished(f"{name}-migrate") == 0
    assert pods.podman("logs", f"{name}-migrate").split() == ["10001", "migrated"]


def test_two_workers_load_the_pods_and_count_as_nginx_does(
    pods: Pods, stack: ComposeRuntime, tmp_path: Path
) -> None:
    stack.compose("--profile", "loadtest", "build", "loadtest", timeout_s=600)
    images, manifests = pods.podman.load(image_of("loadtest")), render("loadtest", tmp_path)
    settings = {"HOST": pods.address, "STACK_LOGIN_RATE": "0"}
    settings |= {"SMOKE_SECONDS": "4", "SMOKE_P95_MS": "5000"}

    def play(workload: str, number: int = 0, **hosts: str) -> tuple[str, str]:
        name = f"{pods.podman.prefix}-{workload}-{number}"
        changed = {"images": images, "hosts": hosts, "settings": settings}
        return name, pods.podman.play(playable(manifests, workload, name, **changed))

    before = of_loadtest(pods)
    master, address = play("loadtest")
    with ThreadPoolExecutor() as pool:
        started = [
            pool.submit(play, "loadtest-worker", number, loadtest=address) for number in range(2)
        ]
        workers = [each.result()[0] for each in started]
    code = pods.podman.finished(f"{master}-loadtest")
    said = pods.podman("logs", f"{master}-loadtest")
    assert code == 0, said
    assert re.search(r"^kept +workers +2 +≥ 2$", said, re.MULTILINE), said
    assert [pods.podman.finished(f"{name}-loadtest") for name in workers] == [0, 0]
    # What the command of docs/scale-out.md fetches.
    keeper = f"{master}-results"
    script = "cd /srv/results/loadtest/smoke/latest && test -s report.html && cat summary.json"
    summary = json.loads(pods.podman.execute(keeper, script))
    assert of_loadtest(pods) - before == summary["requests"] > 0
    assert pods.podman.stop(master) == {"loadtest": 0, "results": 0}


def of_loadtest(pods: Pods) -> int:
    lines = pods.podman("logs", pods.container("nginx")).splitlines()
    agents = [json.loads(line).get("user_agent") for line in lines if line.startswith("{")]
    return agents.count("flask-uwsgi-stack loadtest")


@pytest.mark.parametrize("name", USERS)
def test_processes_take_less_memory_than_is_requested(pods: Pods, name: str) -> None:
    workload = templates(pods.manifests)["redis" if name == "redis" else "web"]
    each = next(it for it in workload["spec"]["containers"] if it["name"] == name)
    requested = int(each["resources"]["requests"]["memory"].removesuffix("Mi")) << 20
    assert 0 < pods.podman.memory(pods.container(name)) < requested


def test_a_redis_takes_the_data_of_the_stack_in_compose(
    pods: Pods, stack: ComposeRuntime, tmp_path: Path
) -> None:
    name, password = f"moved-{os.getpid()}", "correct-horse-battery-staple"
    Person(stack.address()).fill_in(
        "/auth/register", name=name, password=password, repeated=password
    )
    source = stack.containers()["redis"].id
    stack.docker("stop", source)
    stack.docker("cp", f"{source}:/var/lib/redis/appendonlydir", str(tmp_path))
    stack.docker("start", source)
    wait_until(stack.is_up)
    # Two Redis rarely have the same names of files.
    names = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
    for file in names.parent.glob("*.base.*"):
        file.rename(file.with_name(re.sub(r"\.\d+\.", ".77.", file.name)))
    text = re.sub(r"^(file \S+aof\.)\d+(\.base\S+ seq )\d+", r"\g<1>77\g<2>77", names.read_text())
    names.write_text(text)
    packed = ["tar", "-C", str(tmp_path), "--owner=10002", "--group=10002", "-c", "appendonlydir"]
    data = subprocess.run(packed, capture_output=True, check=True).stdout
    script = re.search(r"exec -i redis-0 -- sh -c '([^']+)'", PAGE)[1]
    started = pods.podman.inspect(pods.container("redis"))["State"]["StartedAt"]
    pods.podman.give(pods.container("redis"), script, data)
    wait_until(
        lambda: pods.podman.inspect(pods.container("redis"))["State"]["StartedAt"] != started
    )
    pods.wait_until_ready()
    assert pods.log_in(name, password).get("/auth/whoami").json["name"] == name


def test_a_stop_loses_no_request(pods: Pods) -> None:
    """People ask until the pod is out of the Service; requests of 3 s are still on their way."""
    name = f"{pods.podman.prefix}-leaving"
    address = f"http://{pods.play('web', name)}:8080"
    pods.wait_until_ready(address)
    statuses: list[int] = []
    wait = 7.0  # nginx waits 10 s

    def ask(path: str) -> None:
        person, ends = Person(address), time.monotonic() + wait
        while time.monotonic() < ends:
            statuses.append(person.get(path).status)
            time.sleep(0.05)

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask, "/workload/io?ms=3000") for _ in range(3)]
        asking += [pool.submit(ask, "/") for _ in range(2)]
        codes = pods.podman.stop(name)
        for each in asking:
            each.result()
    assert codes == {"app": 0, "nginx": 0}
    assert len(statuses) > 20 and set(statuses) == {200}
