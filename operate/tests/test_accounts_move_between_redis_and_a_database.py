"""`make accounts-move` while people use the stack: nobody is logged out, and no account is lost."""

from __future__ import annotations

import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from operate.accounts_move import accounts_move
from operate.tests.people import Member, asking
from stack.checkout import CHECKOUT
from stack.errors import StackError
from tests.people.over_http import Person
from tests.servers.postgresql import postgresql
from tests.stack.checkouts import Commands

PASSWORD = "a long and quiet walk"
# Of the database. No other test may have it in an argument.
SECRET = secrets.token_hex(8)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("secrets") / "users-url"
    with postgresql() as server:
        file.write_text(server.url.replace("//shop@", f"//shop:{SECRET}@"))
        yield f"STACK_USERS_URL_FILE={file}"


def move(copy: Commands, *arguments: str, fails: bool = False) -> str:
    done = copy.make("accounts-move", *arguments)
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, said
    assert SECRET not in said
    return said


@contextmanager
def registering(url: str) -> Iterator[list[tuple[str, int]]]:
    """New people come all the time; their names are collected, each with the status."""
    found: list[tuple[str, int]] = []
    stop = threading.Event()

    def register() -> None:
        while not stop.is_set():
            name = f"new-{secrets.token_hex(6)}"
            fields = {"name": name, "password": PASSWORD, "repeated": PASSWORD}
            found.append((name, Person(url).fill_in("/auth/register", **fields).status))
            stop.wait(0.1)  # a hash of a password takes much CPU time

    thread = threading.Thread(target=register)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def can_log_in(url: str, name: str, password: str) -> bool:
    return Person(url).fill_in("/auth/login", name=name, password=password).status == 200


needs_sql = pytest.mark.skipif(
    not (CHECKOUT / "app" / "sql_users").exists(), reason="sql was left out"
)


@pytest.mark.parametrize("wrong", ["EXTRA=all", "DROP=1", "COPY=yes"])
def test_an_unknown_value_is_named(wrong: str) -> None:
    name, _, value = wrong.partition("=")
    with pytest.raises(StackError, match=f"^{name}='{value}' must be "):
        accounts_move({name: value})


@needs_sql
def test_an_empty_database_is_begun_only_if_asked(copy: Commands, tmp_path: Path) -> None:
    ada, empty = Member(copy.url), f"STACK_USERS_URL=sqlite:///{tmp_path / 'users.sqlite'}"
    assert "uses the accounts in the database" in move(copy, empty, "COPY=no")
    assert not ada.is_logged_in

    # A way back that is refused changes nothing: the app still may start with this database.
    assert "the accounts were not moved" in move(copy, fails=True)
    assert copy.make("reload").returncode == 0
    assert "uses the accounts in Redis" in move(copy, "COPY=no")
    assert ada.log_in() == 200


@needs_sql
@pytest.mark.postgresql
def test_there_and_back(copy: Commands, setting: str, tmp_path: Path) -> None:
    ada, eve = Member(copy.url), Member(copy.url)
    assert "in Redis already" in move(copy, fails=True)
    refused = copy.make("deploy", setting)
    assert refused.returncode != 0
    assert "`make accounts-move` takes them to a database" in refused.stderr

    # A switch that fails leaves everything as it was.
    said = move(copy, setting, "STACK_BEFORE_START=exit 3", fails=True)
    assert "STACK_BEFORE_START failed" in said
    after_the_failure = Member(copy.url)

    with asking(ada) as statuses, registering(copy.url) as new:
        assert " accounts are in the database" in move(copy, setting)
    assert set(statuses) == {200}
    # Those who came while the accounts could not be changed were told to come again.
    assert {status for _, status in new} <= {200, 503}
    assert any(status == 200 for _, status in new)
    for name in [name for name, status in new if status == 200][-2:]:
        assert can_log_in(copy.url, name, PASSWORD)
    for person in (ada, eve, after_the_failure):
        assert person.is_logged_in and can_log_in(copy.url, person.name, person.password)

    # The password in the URL is in no file of the copy, such as logs, and in no argument.
    search = ["grep", "--recursive", "--devices=skip", "--no-messages", "--files-with-matches"]
    found = subprocess.run([*search, SECRET, copy.run_dir], stdout=subprocess.PIPE, check=False)
    assert found.stdout == b""
    assert not [p for p in psutil.process_iter(["cmdline"]) if SECRET in str(p.info["cmdline"])]
    assert SECRET not in copy.make("status").stdout

    assert "Deleted " in move(copy, setting, "DROP=yes")
    in_the_database = Member(copy.url)
    with asking(ada, in_the_database) as statuses, registering(copy.url) as new:
        assert " accounts are in Redis" in move(copy)
    assert set(statuses) == {200}
    assert {status for _, status in new} <= {200, 503}
    for name in [name for name, status in new if status == 200][-2:]:
        assert can_log_in(copy.url, name, PASSWORD)
    for person in (ada, eve, in_the_database):
        assert person.is_logged_in and can_log_in(copy.url, person.name, person.password)
    assert "uses the accounts in Redis" in move(copy, "DROP=yes", fails=True)

    late = Member(copy.url)
    assert "uses the accounts in the database" in move(copy, setting, "COPY=no")
    assert ada.is_logged_in and not late.is_logged_in
