"""The store itself: one owner of a name, writes that compare, and failures that are told apart."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sql

from app import create_app, settings
from app.redis_client import StoreUnavailable
from app.security.users import NameTaken, User
from app.settings import SettingsError
from app.sql_users import METADATA, SqlUserStore, engine_of
from stack import ports
from tests.people.in_process import Browser, make_app, member
from tests.waiting import wait_until


@pytest.fixture
def store(tables):
    engine = engine_of(tables, 4)
    yield SqlUserStore(User, engine)
    engine.dispose()


def user(number, name="Ada"):
    return User(
        str(number), name, ("editor",), created_at=float(number), details={"city": "Zürich"}
    )


def test_of_parallel_registrations_one_gets_the_name(store):
    def register(number):
        try:
            store.create(user(number), "parallel", "hash")
        except NameTaken:
            return None
        return str(number)

    with ThreadPoolExecutor(4) as pool:
        owners = [owner for owner in pool.map(register, range(100, 108)) if owner]
    assert owners == [store.by_name("parallel").user.id]


def test_a_user_comes_back_as_stored(store):
    ada = user(1)
    store.create(ada, "ada", "its hash")
    found = store.by_name("ada")
    assert found.password_hash == "its hash"
    assert (found.user.name, found.user.roles) == ("Ada", ("editor",))
    assert (found.user.details, found.user.created_at) == ({"city": "Zürich"}, 1.0)
    assert store.get("1") == ada
    assert store.get("2") is None and store.by_name("eve") is None


def test_a_write_compares_the_epoch_that_was_read(store):
    store.create(user(11), "compared", "old")
    mine, theirs = store.get("11"), store.get("11")
    mine.is_active = False
    assert store.update(mine, epoch=1)
    assert not store.update(theirs, epoch=1, password_hash="new")
    found = store.by_name("compared")
    assert (found.user.is_active, found.user.epoch, found.password_hash) == (False, 1, "old")
    store.delete(found.user, "compared")
    assert not store.update(found.user, epoch=2)


def test_a_write_whose_answer_is_lost_is_not_repeated(store, monkeypatch):
    ada, execute = user(41), sql.Connection.execute
    store.create(ada, "lost", "hash")

    def loses(connection, statement, *arguments):
        found = execute(connection, statement, *arguments)
        if isinstance(statement, sql.Update):
            cut = OSError("the connection is cut")
            raise sql.exc.DBAPIError("", None, cut, connection_invalidated=True)
        return found

    monkeypatch.setattr(sql.Connection, "execute", loses)
    with pytest.raises(StoreUnavailable, match="cut"):
        store.update(ada, epoch=1)
    monkeypatch.undo()
    assert store.get("41").epoch == 1


def test_a_late_deletion_leaves_the_name_to_its_new_owner(store):
    first, second = user(21), user(22)
    store.create(first, "passed on", "hash")
    store.delete(first, "passed on")
    store.create(second, "passed on", "hash")
    store.delete(first, "passed on")
    assert store.by_name("passed on").user == second


def test_pages_are_in_the_order_of_registration(store):
    for number in (33_000, 31_000, 32_000):
        store.create(user(number), f"page {number}", "hash")
    everybody = [one.id for one in store.page(0, 1000)]
    assert everybody[-3:] == ["31000", "32000", "33000"]
    assert [one.id for one in store.page(len(everybody) - 2, 1)] == ["32000"]


def test_a_database_that_is_away_is_a_503_and_sessions_go_on_later(redis, tmp_path: Path):
    file = tmp_path / "users.sqlite"
    url = f"sqlite:///{file}"
    METADATA.create_all(engine_of(url))
    app = make_app(redis, STACK_USERS_URL=url)
    ada, name = member(app)
    engine = app.extensions["security"].users._engine
    engine.dispose()
    file.rename(tmp_path / "away")
    file.mkdir()
    answers = ada.get("/auth/whoami"), Browser(app).log_in(name)
    assert [(one.status_code, one.headers["Retry-After"]) for one in answers] == [(503, "1")] * 2
    assert Browser(app).get("/").status_code == 200
    file.rmdir()
    (tmp_path / "away").rename(file)
    # The first request that finds the circuit open waits 10 ms for its probe, and may be refused.
    wait_until(lambda: ada.get("/auth/whoami").status_code == 200)
    assert ada.who() == name


def test_a_refused_connection_is_told_without_the_password():
    port = ports.free("127.0.0.1")
    store = SqlUserStore(User, engine_of(f"postgresql://app:s3cret@127.0.0.1:{port}/users"))
    with pytest.raises(StoreUnavailable) as caught:
        store.get("1")
    assert "refused" in str(caught.value) and "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "password", ["s3cret/x", "s3cret#x", "s3cret?x", "a:s3cret", "s3cret@x", "s3cret%zz", "[s3cret"]
)
def test_an_odd_password_is_in_no_error(password):
    port = ports.free("127.0.0.1")
    url = f"postgresql://app:{password}@127.0.0.1:{port}/users?connect_timeout=1"
    with pytest.raises((StoreUnavailable, ValueError)) as caught:
        SqlUserStore(User, engine_of(url)).get("1")
    assert "s3cret" not in str(caught.value)


def test_the_url_can_come_from_a_file(redis, tables, tmp_path):
    file = tmp_path / "users-url"
    file.write_text(f"{tables}\n")
    app = make_app(redis, STACK_USERS_URL_FILE=str(file))
    assert member(app)[0].get("/auth/whoami").status_code == 200
    assert isinstance(app.extensions["security"].users, SqlUserStore)
    for environ, said in (
        ({"STACK_USERS_URL_FILE": str(file), "STACK_USERS_URL": tables}, "unset one of them"),
        ({"STACK_USERS_URL_FILE": f"{file}.none"}, "No such file"),
    ):
        with pytest.raises(SettingsError, match=said):
            make_app(redis, **environ)
    assert settings.users_url({}) == ""
    with pytest.raises(SettingsError, match="/project/secrets/users-url"):
        settings.users_url({"STACK_USERS_URL_FILE": "secrets/users-url"})


@pytest.mark.parametrize(
    "url", ["s3cret", "mysql://app:s3cret@db/users", "sqlite://", "postgresql://a:s3cret@db:x/y"]
)
def test_a_malformed_url_is_refused_without_repeating_it(tmp_path, url):
    key = tmp_path / "key"
    key.write_text("k" * 64)
    environ = {"SECRET_KEY_FILE": str(key), "REDIS_URL": "redis://redis.invalid"}
    with pytest.raises(SettingsError) as caught:
        create_app(environ | {"STACK_USERS_URL": url})
    assert "STACK_USERS_URL" in str(caught.value) and "s3cret" not in str(caught.value)
