"""docs/examples/jobs works in containers, and its services are confined like the app."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import configuration, docker, execute
from tests.deploy.test_compose_file_is_hardened import HOLES, RULES, secrets_in_the_open
from tests.people.over_http import Person
from tests.stack.checkouts import Commands, copy_checkout
from tests.waiting import wait_until

pytestmark = pytest.mark.containers

JOBS = ("worker", "cron")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    checkout = copy_checkout(tmp_path_factory.mktemp("containers") / "jobs")
    page = (checkout / "docs" / "day-two.md").read_text(encoding="utf-8")
    steps = re.search(r"```sh\n(cp -R docs/examples/jobs.*?)```", page, re.DOTALL)[1]
    subprocess.run(["sh", "-ec", steps], cwd=checkout, check=True)
    with (checkout / "project" / "app.env").open("a") as file:
        file.write("CRON_SECONDS=1\nREPORTS_KEEP_SECONDS=3\n")
    commands = Commands(checkout, RUNTIME="compose")
    up = commands.make("up")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield commands
    finally:
        commands.make("down")
        running = overlaid(commands)
        running.down(volumes=True)
        running.remove_images()


def overlaid(commands: Commands) -> ComposeRuntime:
    overlay = commands.checkout / "project" / "compose.yml"
    return ComposeRuntime({"STACK_NAME": commands.name}, commands.checkout, files=[overlay])


def ordered(person: Person, seconds: int) -> str:
    answer = person.send("/reports", f"seconds={seconds}".encode())
    assert answer.status == 202
    return answer.json["id"]


def test_jobs_are_done_and_cron_deletes_what_is_old(commands: Commands) -> None:
    person = Person(commands.url)
    report = ordered(person, 0)
    wait_until(lambda: person.get(f"/reports/{report}").text == f"Report {report}\n")
    wait_until(lambda: person.get(f"/reports/{report}").status == 404)
    wait_until(lambda: "deleted: 1" in overlaid(commands).log("cron"))


def test_a_stop_waits_for_the_job_and_leaves_the_others(commands: Commands) -> None:
    stack, person = overlaid(commands), Person(commands.url)
    stopped = stack.containers()["worker"].id
    first, second = ordered(person, 10), ordered(person, 0)
    wait_until(lambda: person.get("/").json["waiting"] == 1)
    stack.compose("stop", "worker", "cron")
    for service in JOBS:
        container = stack.containers()[service]
        assert (container.state, container.exit_code) == ("exited", 0), service
    assert person.get(f"/reports/{first}").status == 200
    assert person.get(f"/reports/{second}").status == 404
    stack.compose("start", "worker")
    assert stack.containers()["worker"].id == stopped
    wait_until(lambda: person.get(f"/reports/{second}").status == 200)
    stack.compose("start", "cron")


def test_a_job_that_was_killed_is_done_again(commands: Commands) -> None:
    stack, person = overlaid(commands), Person(commands.url)
    report = ordered(person, 10)
    wait_until(lambda: person.get("/").json["waiting"] == 0)  # the worker has taken it
    stack.compose("kill", "worker")
    stack.compose("stop", "cron")
    assert person.get(f"/reports/{report}").status == 404
    stack.compose("start", "worker")
    wait_until(lambda: person.get(f"/reports/{report}").status == 200)
    stack.compose("start", "cron")


@pytest.mark.parametrize("name", JOBS)
def test_they_have_no_more_than_the_app(commands: Commands, name: str) -> None:
    stack = overlaid(commands)
    services = configuration(stack)["services"]
    assert [rule for rule, holds in RULES.items() if not holds(services[name])] == []
    assert [hole for hole in HOLES if services[name].get(hole)] == []
    assert list(secrets_in_the_open(services[name])) == []
    assert services[name]["image"] == services["app"]["image"]
    assert "build" not in services[name] and "ports" not in services[name]
    app = {mount["target"] for mount in services["app"]["volumes"]}
    assert {mount["target"] for mount in services[name]["volumes"]} == app - {"/run/app"}

    container = stack.containers()[name].id
    user, capabilities = docker(
        "exec", container, "sh", "-c", "id -u; sed -n 's/CapBnd:\t//p' /proc/1/status"
    ).split()
    assert (user, capabilities) == ("10001", "0" * 16)
    assert execute(stack, name, "touch /srv/it 2>/dev/null || echo no").strip() == "no"
