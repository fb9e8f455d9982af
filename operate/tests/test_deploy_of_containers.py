"""`make deploy` in containers: a new version serves, or the old one goes on."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from operate.tests.containers import runtime, up
from operate.tests.open_loop import OpenLoop
from tests.deploy.engine import docker
from tests.stack.checkouts import TINY_APP, Commands, copy_checkout, get
from tests.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.long]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(
        copy_checkout(tmp_path_factory.mktemp("deploy")),
        RUNTIME="compose",
        STACK_APP="tiny:app",
        STACK_PROCESSES="2",
    )
    write(commands, "one")
    with up(commands):
        yield commands


def write(commands: Commands, version: str, more: str = "") -> None:
    app = TINY_APP.replace('"one"', f'"{version}"') + more
    (commands.checkout / "project" / "tiny.py").write_text(app)


def version(commands: Commands) -> str:
    return get(commands.url)[1].split()[0]


def containers(commands: Commands) -> list[str]:
    mine = f"label=com.docker.compose.project={commands.name}"
    return sorted(docker("ps", "--all", "--quiet", "--filter", mine).split())


def apps_that_run(commands: Commands) -> int:
    states = [(one.service, one.state) for one in runtime(commands).replicas()]
    return states.count(("app", "running"))


def deploy(commands: Commands, **settings: str) -> str:
    done = commands.make("deploy", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compose_finds_nothing_to_change(commands: Commands) -> None:
    command = runtime(commands).command("--dry-run", "up", "--detach", "--no-build")
    done = subprocess.run(
        command, env=runtime(commands).environ, capture_output=True, text=True, check=True
    )
    said = done.stdout + done.stderr
    assert len(re.findall(r"Container \S+ +Running", said)) == 3, said
    assert not re.search("Recreate|Creating|Removing", said), said


def socket_files(commands: Commands) -> list[str]:
    app = runtime(commands).containers()["app"]
    return docker("exec", app.id, "ls", "/run/app").split()


def test_over_a_unix_socket_no_request_fails(commands: Commands) -> None:
    redis = runtime(commands).containers()["redis"].id
    nginx = runtime(commands).containers()["nginx"].id
    with OpenLoop(commands.url, 50) as loop:
        write(commands, "two")
        deploy(commands)
        assert version(commands) == "two"
    assert loop.failed == [], str(loop)
    assert loop.longest_s < 10, str(loop)
    assert len(containers(commands)) == 3
    assert {redis, nginx} < {c.id for c in runtime(commands).replicas()}
    assert socket_files(commands) == ["uwsgi.sock"]
    compose_finds_nothing_to_change(commands)
    app = runtime(commands).containers()["app"].id
    found = docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", app)
    assert found == "unless-stopped\n"
    assert docker("inspect", "-f", "{{.HostConfig.CpuShares}}", app) == "1024\n"
    assert "nothing to deploy" in deploy(commands)


def went_back(commands: Commands, before: list[str], served: str) -> None:
    assert version(commands) == served
    assert containers(commands) == before
    assert socket_files(commands) == ["uwsgi.sock"]
    compose_finds_nothing_to_change(commands)


def test_a_command_before_the_start_that_fails_runs_once(commands: Commands) -> None:
    before, served = containers(commands), version(commands)
    write(commands, "migrated")
    done = commands.make("deploy", STACK_BEFORE_START="echo ran >> /data/marks; exit 3")
    assert done.returncode != 0
    assert "STACK_BEFORE_START failed with exit code 3" in done.stderr
    app = runtime(commands).containers()["app"]
    assert docker("exec", app.id, "cat", "/data/marks") == "ran\n"
    went_back(commands, before, served)


def test_one_that_is_ended_leaves_the_old_version(commands: Commands) -> None:
    """Interrupted, it cleans up; killed, the next one does."""
    before, served = containers(commands), version(commands)
    write(commands, "slow", "\ntime.sleep(600)\n")
    for number in (signal.SIGTERM, signal.SIGKILL):
        begun = subprocess.Popen(
            [sys.executable, "-m", "operate", "deploy"],
            cwd=commands.checkout, env=commands.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        wait_until(lambda: apps_that_run(commands) == 2, 120)
        time.sleep(1)
        refused = commands.make("reload")
        assert refused.returncode != 0
        assert f"a deploy of {commands.name} is under way" in refused.stderr
        begun.send_signal(number)
        said, _ = begun.communicate(timeout=120)
        assert version(commands) == served
        if number == signal.SIGTERM:
            assert begun.returncode == 130, said
            went_back(commands, before, served)
    write(commands, "four")
    assert "an earlier deploy was killed: cleaning up" in deploy(commands)
    assert version(commands) == "four"
    assert len(containers(commands)) == 3


@pytest.mark.parametrize("service", ["app", "nginx"])
def test_a_container_that_a_killed_one_created_is_removed(commands: Commands, service: str) -> None:
    """Killed before it has written down what it created."""
    before = containers(commands)
    options = ["--no-start", "--no-recreate", "--no-build", f"--scale={service}=2"]
    runtime(commands).compose("up", *options, service)
    assert len(containers(commands)) == len(before) + 1
    write(commands, f"after-a-second-{service}")
    assert f"an earlier deploy was killed: removing {commands.name}-{service}-" in deploy(commands)
    assert version(commands) == f"after-a-second-{service}"
    assert len(containers(commands)) == 3


def test_changes_of_nginx_are_checked_and_applied(commands: Commands) -> None:
    before, served = containers(commands), version(commands)
    snippet = commands.checkout / "nginx" / "snippets" / "basics.conf"
    good = snippet.read_text()
    snippet.write_text(good + "\nno_such_directive on;\n")
    done = commands.make("deploy")
    assert done.returncode != 0
    assert "no_such_directive" in done.stderr
    assert "nginx's new configuration is not valid: nothing was changed" in done.stderr
    went_back(commands, before, served)

    snippet.write_text(good + "\n# newer\n")
    write(commands, "nginx")
    with OpenLoop(commands.url, 50) as loop:
        said = deploy(commands, NGINX="later")
    assert loop.failed == [], str(loop)
    assert "not applied: a new image or other settings of nginx; `make deploy`" in said
    assert version(commands) == "nginx"
    app = runtime(commands).containers()["app"].id
    said = deploy(commands)
    assert "nginx was replaced within" in said
    assert runtime(commands).containers()["app"].id == app
    nginx = runtime(commands).containers()["nginx"]
    assert "# newer" in docker("exec", nginx.id, "cat", "/srv/nginx/snippets/basics.conf")
    assert len(containers(commands)) == 3
    compose_finds_nothing_to_change(commands)


def test_over_tcp_no_request_fails(commands: Commands) -> None:
    refused = commands.make("deploy", STACK_SOCKET="tcp")
    assert refused.returncode != 0
    assert "STACK_SOCKET=tcp cannot be deployed to a running stack" in refused.stderr
    commands.environ["STACK_SOCKET"] = "tcp"
    done = commands.make("down", "up")
    assert done.returncode == 0, done.stdout + done.stderr
    with OpenLoop(commands.url, 50) as loop:
        write(commands, "five")
        deploy(commands)
        assert version(commands) == "five"
        write(commands, "bad", "\nraise RuntimeError('a bad day')\n")
        done = commands.make("deploy")
    assert done.returncode != 0
    assert "a bad day" in done.stderr
    assert "make deploy: the new version does not serve" in done.stderr
    assert loop.failed == [], str(loop)
    assert loop.longest_s < 10, str(loop)
    assert version(commands) == "five"
    assert len(containers(commands)) == 3
    nginx = runtime(commands).containers()["nginx"]
    rendered = docker("exec", nginx.id, "cat", "/tmp/nginx/conf/rendered/app.conf")
    assert "default app:3031;" in rendered
    compose_finds_nothing_to_change(commands)
