"""`flask user …` as a real process, with the password from a prompt or from a pipe."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.people.in_process import OTHER_PASSWORD, PASSWORD, Browser, make_app, new_name

FLASK = [sys.executable, "-m", "flask", "--app", "app.wsgi", "user"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis)


@pytest.fixture
def flask_user(redis):
    def run(*arguments, stdin=""):
        return subprocess.run(
            [*FLASK, *arguments],
            env=os.environ | redis.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            check=False,
        )

    return run


def create(flask_user, name, *options, password=PASSWORD):
    return flask_user("create", name, *options, "--password-stdin", stdin=password + "\n")


def test_the_first_admin(app, flask_user):
    name = new_name()
    made = create(flask_user, name, "--admin")
    assert made.returncode == 0 and "(admin)" in made.stdout, made.stderr
    assert list(app.extensions["security"].find(name).roles) == ["admin"]
    assert Browser(app).log_in(name).status_code == 303


def test_purge_deletes_accounts_by_the_beginning_of_their_names(app, flask_user):
    kept = new_name()
    for name in (kept, "lt-0000-0001", "lt-0000-0002"):
        assert create(flask_user, name).returncode == 0
    assert flask_user("purge", "lt-0000-", stdin="n\n").returncode == 1
    assert flask_user("purge", "--yes", "lt-0000-").stdout == "Deleted 2 accounts.\n"
    listed = flask_user("list").stdout
    assert kept in listed and "lt-0000" not in listed


def test_every_command(app, flask_user):
    name, ada = new_name(), Browser(app)
    assert create(flask_user, name).returncode == 0
    assert ada.log_in(name).status_code == 303

    assert flask_user("disable", name).returncode == 0
    assert ada.who() is None and ada.log_in(name).status_code == 401
    assert f"{name}\tdisabled\t-" in flask_user("list").stdout

    assert flask_user("enable", name).returncode == 0
    assert flask_user("grant", name, "moderator", "admin").returncode == 0
    assert f"{name}\tactive\tadmin,moderator" in flask_user("list").stdout
    assert flask_user("revoke", name, "admin").returncode == 0

    changed = flask_user("set-password", name, "--password-stdin", stdin=OTHER_PASSWORD + "\n")
    assert changed.returncode == 0, changed.stderr
    assert ada.log_in(name, OTHER_PASSWORD).status_code == 303

    assert flask_user("delete", name, stdin="n\n").returncode == 1
    assert flask_user("delete", name, stdin="y\n").returncode == 0
    assert ada.who() is None and name not in flask_user("list").stdout


def test_an_error_is_one_line(flask_user):
    name = new_name()
    assert create(flask_user, name).returncode == 0
    for answer, says in (
        (create(flask_user, name.upper()), "account with this name exists"),
        (create(flask_user, "no good"), "letters and digits"),
        (create(flask_user, new_name(), password="password"), "most common"),
        (
            create(flask_user, new_name(), "--role", "emperor"),
            "No role 'emperor'; the roles are: admin",
        ),
        (flask_user("grant", name, "emperor"), "No role 'emperor'"),
        (flask_user("disable", "nobody-here"), "No account 'nobody-here'"),
    ):
        assert answer.returncode == 1
        assert says in answer.stderr and "Traceback" not in answer.stderr, answer.stderr


def test_an_account_that_goes_during_the_prompt_is_one_line(app, monkeypatch):
    name = new_name()
    security = app.extensions["security"]
    user = security.register(name, PASSWORD)

    def typed_slowly(_from_stdin):
        security.delete(user)
        return OTHER_PASSWORD

    monkeypatch.setattr("app.security.cli._new_password", typed_slowly)
    with app.app_context():
        answer = app.test_cli_runner().invoke(args=["user", "set-password", name])
    assert answer.exit_code == 1
    assert answer.output == "Error: The account was deleted meanwhile.\n"


def test_redis_away_is_one_line(redis):
    environ = os.environ | redis.environ | {"REDIS_URL": f"unix://app@{redis.folder}/none.sock"}
    answer = subprocess.run(
        [*FLASK, "list"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert answer.returncode == 1
    assert "unavailable" in answer.stderr and "Traceback" not in answer.stderr


def test_the_password_is_asked_for_twice_and_not_shown(app, redis):
    name = new_name()
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execve(FLASK[0], [*FLASK, "create", name], os.environ | redis.environ)
    shown = b""
    for prompt in (b"Password: ", b"Repeat the password: "):
        deadline = time.monotonic() + 60
        while prompt not in shown:
            assert time.monotonic() < deadline, shown
            shown += os.read(terminal, 4096)
        time.sleep(0.2)
        os.write(terminal, PASSWORD.encode() + b"\n")
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:
        pass  # Linux reports a closed terminal like this
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
    os.close(terminal)
    assert PASSWORD.encode() not in shown
    assert Browser(app).log_in(name).status_code == 303
