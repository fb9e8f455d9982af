"""`make up` ends with a stack that answers and prints its address; `make down` ends it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ports
from tests.stack.checkouts import Commands, answers, copy_checkout, get
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(copy_checkout(tmp_path_factory.mktemp("checkout")))
    yield commands
    commands.make("down")


@pytest.fixture(scope="module")
def first_up(commands: Commands) -> str:
    done = commands.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_up_says_which_runtime_and_why(first_up: str) -> None:
    assert "Runtime: local, because RUNTIME=local" in first_up.splitlines()[0]


def test_up_prints_the_address_that_answers(first_up: str, commands: Commands) -> None:
    assert f"The stack is up: {commands.url}\n" in first_up
    wait_until(lambda: get(f"{commands.url}/readyz")[0] == 200)


def test_up_names_the_demo_account_and_what_to_do_next(first_up: str, commands: Commands) -> None:
    from toggles.demo import DEMO_NAME, DEMO_PASSWORD

    assert f"demo account: {DEMO_NAME}, password: {DEMO_PASSWORD}" in first_up
    given = f"STACK_NAME={commands.name} RUNTIME=local"
    assert re.findall(r"^  (make .*?)  ", first_up, re.MULTILINE) == [
        f"make status {given}",
        f"make loadtest PROFILE=smoke {given}",
        f"make down {given}",
    ]


def test_up_names_the_file_of_the_app(first_up: str, commands: Commands) -> None:
    file = commands.checkout / "app" / "wsgi.py"
    assert f"  STACK_APP=app.wsgi:application is in {file}\n" in first_up


def test_up_says_how_many_workers_there_are(first_up: str, commands: Commands) -> None:
    (count,) = re.findall(r"^  STACK_PROCESSES=auto is (\d+) worker processes$", first_up, re.M)
    log = commands.make("logs").stdout
    assert f"spawned uWSGI worker {count} (pid: " in log
    assert f"spawned uWSGI worker {int(count) + 1} " not in log


def test_a_second_up_says_that_it_is_up(first_up: str, commands: Commands) -> None:
    done = commands.make("up")
    assert done.returncode == 0
    assert done.stdout == f"The stack is up already: {commands.url} (local)\n"


def test_a_second_up_names_settings_that_are_not_in_force(
    first_up: str, commands: Commands
) -> None:
    url = "STACK_USERS_URL=postgresql://app:s3cret@db/users"
    done = commands.make("up", "STACK_THREADS=3", url)
    assert "not applied: STACK_USERS_URL, STACK_THREADS=3; `make down up STACK_" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_status_has_a_line_a_service(first_up: str, commands: Commands) -> None:
    done = commands.make("status")
    assert done.returncode == 0, done.stdout + done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["service", "pid", "address", "state", "uptime", "memory"]
    assert [line.split()[0] for line in lines] == ["nginx", "app", "redis"]
    for line in lines:
        pid = line.split()[1]
        assert Path(f"/proc/{pid}").is_dir()
        assert re.search(r"  healthy +\d+ (?:s|min \d+ s) +\d+\.\d MB$", line), line


def test_logs_come_with_their_service(first_up: str, commands: Commands) -> None:
    get(f"{commands.url}/seen-in-the-log")
    done = commands.make("logs")
    assert {line.split(" ")[0] for line in done.stdout.splitlines()} == {"nginx", "app", "redis"}
    assert re.search(r"^nginx \| .*/seen-in-the-log", done.stdout, re.MULTILINE)


def test_secrets_are_closed_to_others(first_up: str, commands: Commands) -> None:
    secrets = {file.name: file for file in (commands.run_dir / "secrets").iterdir()}
    assert {"redis-password", "secret-key"} <= secrets.keys()
    assert all(file.stat().st_mode & 0o077 == 0 for file in secrets.values())
    assert commands.run_dir.stat().st_mode & 0o077 == 0
    arguments = " ".join(commands.processes())
    assert all(file.read_text() not in arguments for file in secrets.values())


def test_admin_creates_an_account_with_that_role(first_up: str, commands: Commands) -> None:
    (commands.checkout / ".env").write_text("# Flask advises python-dotenv where it sees this.\n")
    done = commands.make("admin", "NAME=ada", input="an-uncommon-password\n")
    assert done.returncode == 0, done.stderr
    assert "dotenv" not in done.stdout + done.stderr
    assert "Created ada (admin)." in done.stdout
    nameless = commands.make("admin")
    assert nameless.returncode != 0
    assert "make admin: NAME is missing: make admin NAME=ada" in nameless.stderr


def test_a_load_test_deletes_its_accounts(first_up: str, commands: Commands) -> None:
    if not (commands.checkout / "loadtest").is_dir():
        return
    done = commands.make("loadtest", "PROFILE=smoke", SMOKE_SECONDS="6", SMOKE_USERS="2")
    assert re.search(r"^Deleted [1-9]\d* accounts\.$", done.stdout, re.MULTILINE), done.stdout


def test_down_leaves_nothing(first_up: str, commands: Commands) -> None:
    assert commands.processes()
    done = commands.make("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert commands.processes() == []
    assert not answers(commands.url)
    assert ports.try_bind("127.0.0.1", commands.port) is None
    assert not (commands.run_dir / "state.json").exists()
    assert commands.make("status").returncode != 0
    assert commands.make("down").returncode == 0


def test_data_and_secrets_outlive_down(first_up: str, commands: Commands) -> None:
    before = (commands.run_dir / "secrets" / "redis-password").read_text()
    assert commands.make("up").returncode == 0
    assert (commands.run_dir / "secrets" / "redis-password").read_text() == before
    assert any((commands.run_dir / "data").rglob("*.aof*"))
