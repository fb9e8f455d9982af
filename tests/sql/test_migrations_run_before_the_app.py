"""The migrations make the tables that the store uses, before STACK_BEFORE_START and the app."""

import os
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.redis_client import connect
from app.security.redis_users import RedisUserStore
from app.security.users import User, UserStore
from app.sql_users import METADATA, SqlUserStore, engine_of, tables
from app.sql_users.accounts import InRedis, Refused
from stack.checkout import CHECKOUT
from tests.servers.redis import RedisServer
from tests.servers.uwsgi import ask, serving

VERSION_TABLE = "stack_users_version"
# Not a package: the entrypoint imports it under its bare name.
preceded = runpy.run_path(str(CHECKOUT / "uwsgi" / "before_start.py"))["preceded"]


def migrate(**environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.sql_users"],
        cwd=CHECKOUT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_they_make_the_tables_of_the_store_and_can_run_twice(
    redis: RedisServer, users_url: str, tmp_path: Path
) -> None:
    engine = engine_of(users_url)
    METADATA.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(sql.text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
        # The app's own, in the same database.
        connection.execute(
            sql.text("CREATE TABLE IF NOT EXISTS alembic_version (version_num text)")
        )
    file = tmp_path / "users-url"
    file.write_text(users_url)
    for environ in {"STACK_USERS_URL": users_url}, {"STACK_USERS_URL_FILE": str(file)}:
        done = migrate(**redis.environ, **environ)
        assert done.returncode == 0, done.stderr
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert context.get_current_revision() == "0001"
        differences = compare_metadata(context, METADATA)
        assert [one for one in differences if one[1].name != "alembic_version"] == []
        assert connection.execute(sql.text("SELECT * FROM alembic_version")).all() == []
    engine.dispose()


def start(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run what the entrypoint would, with `echo started` instead of uWSGI, in the app's folder."""
    return subprocess.run(
        preceded(["echo", "started"], environ),
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_apps_own_command_comes_after_them(redis: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "users.sqlite"
    # A package of the user's that has the name of ours.
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").touch()
    done = start(
        tmp_path,
        **redis.environ,
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        STACK_USERS_URL=f"sqlite:///{file}",
        STACK_BEFORE_START=f"test -s {file} && echo the app migrates",
    )
    assert (done.returncode, done.stdout) == (0, "the app migrates\nstarted\n"), done.stderr


def test_a_failed_migration_starts_nothing_and_says_why(redis: RedisServer, tmp_path: Path) -> None:
    done = start(
        tmp_path,
        **redis.environ,
        STACK_USERS_URL=f"sqlite:///{tmp_path}",
        STACK_BEFORE_START="echo not reached",
    )
    assert (done.returncode, done.stdout) == (23, "")
    assert "unable to open database file" in done.stderr
    assert "STACK_USERS_URL cannot be used" in done.stderr


def test_accounts_in_redis_are_not_left_behind_unasked(redis: RedisServer, tmp_path: Path) -> None:
    def add(store: UserStore, name: str) -> None:
        store.create(User(f"id of {name}", name), name, "hash")

    url = f"sqlite:///{tmp_path / 'users.sqlite'}"
    client = connect(redis.environ["REDIS_URL"], redis.password)
    in_redis, in_database = RedisUserStore(User, client), SqlUserStore(User, engine_of(url))
    add(in_redis, "demo")
    assert migrate(**redis.environ, STACK_USERS_URL=url).returncode == 0
    add(in_database, "demo")
    add(in_redis, "ada")
    done = migrate(**redis.environ, STACK_USERS_URL=url)
    assert done.returncode == 1
    assert done.stderr.startswith("STACK_USERS_URL: the accounts are in Redis, and the database ")
    assert "`make accounts-move` takes them there; COPY=no lets it begin without" in done.stderr

    # Somebody decided that they stay.
    client.execute("SET", "account:may-stay", 1)  # as `make accounts-move COPY=no` does
    assert migrate(**redis.environ, STACK_USERS_URL=url).returncode == 0
    client.execute("DEL", "account:may-stay")
    add(in_database, "eve")
    assert migrate(**redis.environ, STACK_USERS_URL=url).returncode == 0
    for page in list(InRedis(client).pages()):
        InRedis(client).remove(page)  # the next tests begin without


def test_what_redis_refuses_is_told_in_a_line(redis: RedisServer, tmp_path: Path) -> None:
    """As to a user of Redis who may not read accounts."""
    client = connect(redis.environ["REDIS_URL"], redis.password)
    client.execute("SET", "account:users", "no list")
    try:
        done = migrate(**redis.environ, STACK_USERS_URL=f"sqlite:///{tmp_path / 'users.sqlite'}")
    finally:
        client.execute("DEL", "account:users")
    assert done.returncode == 1
    assert done.stderr.startswith("STACK_USERS_URL: WRONGTYPE "), done.stderr


def test_without_redis_an_empty_database_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not known whether there are accounts."""
    monkeypatch.setattr(tables, "PATIENCE", 0.1)
    monkeypatch.setattr(tables, "PAUSE", 0.01)
    engine = engine_of(f"sqlite:///{tmp_path / 'users.sqlite'}", transactions=True)
    tables.migrate(engine)
    nowhere = connect(f"unix://app@{tmp_path}/no.sock?db=0", "")
    with pytest.raises(Refused, match="the database has no account, and Redis may: "):
        tables.refuse_to_leave_accounts(engine, nowhere)


def test_a_reload_whose_migration_fails_keeps_the_running_code(
    redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "users.sqlite"
    database_url = f"sqlite:///{file}"
    with serving(tmp_path / "app", **redis.environ, STACK_USERS_URL=database_url) as server:
        with sqlite3.connect(file) as database:
            # As a later version of the app leaves it.
            database.execute(f"UPDATE {VERSION_TABLE} SET version_num = 'later'")
        reloaded = server.reload()
        assert reloaded.returncode != 0
        said = reloaded.stdout + reloaded.stderr
        assert "Can't locate revision identified by 'later'" in said
        assert "STACK_USERS_URL cannot be used" in said
        assert "Traceback" not in said
        assert ask(server.port).startswith(b"1 ")
