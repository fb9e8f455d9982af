"""`make accounts-move` in containers: it runs in the container of the app, and deploys another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from operate.tests.containers import runtime, up
from operate.tests.people import Member
from stack.checkout import CHECKOUT
from stack.errors import StackError
from tests.stack.checkouts import Commands, copy_checkout

pytestmark = [
    pytest.mark.containers,
    pytest.mark.long,
    pytest.mark.skipif(not (CHECKOUT / "app" / "sql_users").exists(), reason="sql was left out"),
]

DATABASE = "STACK_USERS_URL=sqlite:////data/users.sqlite"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(
        copy_checkout(tmp_path_factory.mktemp("copy")),
        RUNTIME="compose",
        STACK_PROCESSES="1",
        STACK_LOGIN_RATE="0",
    )
    # Of docs/day-two.md, without the driver of PostgreSQL.
    packages = commands.checkout / "project" / "requirements.txt"
    packages.write_text("sqlalchemy~=2.1\nalembic~=1.20\n")
    with up(commands):
        yield commands


def said(copy: Commands, *arguments: str) -> str:
    done = copy.make(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_and_back(copy: Commands) -> None:
    ada = Member(copy.url)
    with pytest.raises(StackError) as error:
        runtime(copy).compose("exec", "-T", "-e", DATABASE, "app", "python3", "-m", "app.sql_users")
    assert "the accounts are in Redis, and the database has none" in error.value.log

    assert "2 accounts are in the database" in said(copy, "accounts-move", DATABASE)
    assert "Deleted 2 accounts in Redis" in said(copy, "accounts-move", DATABASE, "DROP=yes")
    assert ada.is_logged_in and ada.log_in() == 200
    assert "nothing to deploy" in said(copy, "deploy", DATABASE)
    eve = Member(copy.url)

    refused = copy.make("deploy")
    assert refused.returncode != 0
    assert "`make accounts-move` takes them to Redis" in refused.stderr
    assert "3 accounts are in Redis" in said(copy, "accounts-move")
    for person in (ada, eve):
        assert person.is_logged_in and person.log_in() == 200
